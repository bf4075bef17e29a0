"""The labelled rows that a classifier is fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.probes.labelled import class_names_of
from jessl.probes.split import inseparable_units


def training_rows(X: Any, y: Any, groups: Any) -> tuple[Any, Any, NDArray[np.int64] | None]:
    """Features, labels and inseparable units of the labelled rows."""
    if not isinstance(X, Embeddings):
        if groups is None:
            return X, y, None
        _, place = np.unique(np.asarray(groups), return_inverse=True)
        if place.shape != (len(X),):
            raise ValueError(f"groups: expected {len(X)}, one per row, got {place.shape}")
        return X, y, place.astype(np.int64)
    if y is None:
        if X.labels is None:
            raise ValueError("labels: the embeddings have none; give y, one per row")
        names = class_names_of(X, "train")
        X = X.labelled()
        assert X.labels is not None
        y = X.labels if names is None else np.array(_named(X.labels, names))
    units = inseparable_units(X.ids, X.groups)
    if groups is not None:
        return training_rows(X.features, y, groups)
    return X.features, y, units


def _named(labels: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    if len(labels) and labels.max() >= len(names):
        raise ValueError(
            f"labels: expected a class name for label {labels.max()}, got {len(names)}"
        )
    return [names[k] for k in labels.tolist()]
