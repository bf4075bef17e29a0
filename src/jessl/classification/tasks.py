"""The tasks that labels may be for: fitting, writing and reading of what each one fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.files import HEADER, read_folder, write_folder
from jessl.classification.labels import split_labels
from jessl.classification.multi_label import MultiLabel
from jessl.classification.outcome import FittedTask, SingleLabel
from jessl.classification.regression import Regression
from jessl.embeddings import Embeddings


def fit_task(
    task: str, train: Embeddings, texts: Sequence[str], *, max_error: float | None, seed: int
) -> FittedTask:
    """Fit what a task needs on labelled rows.

    Args:
        task: one of `labels.TASKS`.
        train: the labelled rows; texts: [n] their labels.
    """
    if task == "multi-label":
        return MultiLabel.fit(train, [split_labels(text) for text in texts], seed=seed)
    if task == "regression":
        return Regression.fit(train, np.array([float(text) for text in texts]), seed=seed)
    classifier = EmbeddingClassifier(max_error=max_error, seed=seed)
    return SingleLabel(classifier.fit(train, np.array(texts)))


def save_task(fitted: FittedTask, path: Path, about: Mapping[str, object]) -> None:
    """Write the folder of a classifier.

    Raises:
        ValueError: when `path` exists.
    """
    if isinstance(fitted, SingleLabel):
        fitted.classifier.save(path, about)
    elif isinstance(fitted, MultiLabel | Regression):
        values, arrays = fitted.state()
        write_folder(path, {**values, "about": dict(about)}, arrays)


def load_task(path: Path, max_error: float | None) -> tuple[FittedTask, Mapping[str, Any]]:
    """What a folder holds, and what is known about its encoder and images.

    Args:
        max_error: of a classifier of single labels, instead of its own.

    Raises:
        ValueError: naming the file that is missing, changed or no classifier.
    """
    header, arrays = read_folder(path)
    try:
        if header["kind"] == "classes":
            classifier = EmbeddingClassifier.load(path)
            if max_error is not None:
                classifier = classifier.with_max_error(max_error)
            return SingleLabel(classifier), classifier.about_
        if max_error is not None:
            raise ValueError(f"max_error is for single labels; leave it out with {header['kind']}")
        about: Mapping[str, Any] = header["about"]
        if header["kind"] == "multi-label":
            return MultiLabel.restored(header, arrays), about
        if header["kind"] == "regression":
            return Regression.restored(header, arrays), about
        raise ValueError(f"{path}: expected a classifier of classify, got {header['kind']!r}")
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path / HEADER}: no header of a classifier: {error}") from None
