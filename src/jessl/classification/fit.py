"""The function `fit_classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jessl.classification.classifier import EmbeddingClassifier
from jessl.core.progress import ProgressCallback
from jessl.embeddings import Embeddings


def fit_classifier(
    train: Embeddings | str | Path | Any,
    labels: Any = None,
    *,
    groups: Any = None,
    max_error: float | None = None,
    C: float | None = None,
    folds: int | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> EmbeddingClassifier:
    """Fit a classifier on labelled features, and estimate how accurate it will be.

    Example:
        z = jessl.embed("timm:resnet50", "photos", labels="few.csv")
        classifier = jessl.fit_classifier(z, max_error=0.05)
        print(classifier.expected_accuracy_.text)
        classifier.predict(z.subset(z.labels < 0))

    Args:
        train: Embeddings with labels (rows without one are left out), their path, or an array
            [n, d].
        labels: [n] labels of any type that sorts, for arrays.
        groups, progress: as for `EmbeddingClassifier.fit`.
        max_error, C, folds, seed: as for `EmbeddingClassifier`.

    Returns:
        The fitted estimator: predict, predict_proba, details, save; `expected_accuracy_`.

    Raises:
        ValueError: for fewer than two classes, NaN or infinite features, lengths that differ.
    """
    if isinstance(train, str | Path):
        train = Embeddings.load(train)
    classifier = EmbeddingClassifier(C=C, folds=folds, max_error=max_error, seed=seed)
    return classifier.fit(train, labels, groups=groups, progress=progress)
