"""The labelled rows of embeddings, checked, and the rows that must stay together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.probes.split import inseparable_units
from jessl.probes.standardize import CHUNK, release_pages


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """The labelled rows of embeddings.

    Attributes:
        x: float32 [n, d]; y: int64 [n]; ids: int64 [n].
        units: int64 [n], equal for rows of one group or image; None where all are independent.
        missing: rows without a label, left out.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    ids: NDArray[np.int64]
    units: NDArray[np.int64] | None
    missing: int

    def rows(self, index: NDArray[np.intp]) -> LabelledRows:
        """Some of the rows."""
        units = None if self.units is None else self.units[index]
        return LabelledRows(self.x[index], self.y[index], self.ids[index], units, self.missing)


def labelled_rows(argument: str, data: Embeddings) -> LabelledRows:
    """The labelled rows.

    Raises:
        ValueError: without labelled rows, and for NaN or infinite features (counted).
    """
    if not isinstance(data, Embeddings):
        raise ValueError(f"{argument}: expected Embeddings, got {type(data).__name__}")
    labelled = data.labelled()
    if labelled.labels is None or not len(labelled):
        bare = str(data.meta.get("file", "")).endswith(".npy")
        hint = "; a .npy file holds features alone, .npz also labels" if bare else ""
        raise ValueError(f"{argument}: none of the {len(data)} rows has a label{hint}")
    bad = 0
    for start in range(0, len(labelled), CHUNK):
        part = labelled.features[start : start + CHUNK]
        bad += int((~np.isfinite(part).all(axis=1)).sum())
        release_pages(part)
    if bad:
        raise ValueError(
            f"{argument}: {bad} of {len(labelled)} labelled rows hold NaN or infinite values"
        )
    units = inseparable_units(labelled.ids, labelled.groups)
    return LabelledRows(
        labelled.features, labelled.labels, labelled.ids, units, len(data) - len(labelled)
    )


def count_rows_of_shared_groups(train: Embeddings, test: Embeddings) -> int | None:
    """Labelled rows of test whose group has labelled rows in train; None without groups."""
    one, two = train.labelled().groups, test.labelled().groups
    if one is None or two is None:
        return None
    return int((np.isin(two, one) & (two != -1)).sum())


def check_comparable(train: Embeddings, other: Embeddings, argument: str) -> None:
    """Refuse embeddings to which a probe of `train` does not apply.

    Raises:
        ValueError: for another number of features, another encoder, weights or layer, or labels
            that mean other classes, where the provenance of both records these.
    """
    if train.d != other.d:
        raise ValueError(f"{argument}: expected {train.d} features as in train, got {other.d}")
    one, two = train.meta, other.meta
    for what in ("encoder", "weights", "layer", "classes"):
        a, b = one.get(what), two.get(what)
        if a is not None and b is not None and a != b:
            raise ValueError(
                f"{argument}: expected {what} {_shorten(a)} as in train, got {_shorten(b)}"
            )


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
