"""Probes that are fast enough to run during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.probes.base import evaluate
from jessl.probes.kinds import knn
from jessl.probes.labelled import check_comparable, labelled_rows
from jessl.probes.standardize import mean_and_scale

if TYPE_CHECKING:
    import torch

ArrayLike: TypeAlias = "NDArray[np.number] | torch.Tensor"

PENALTY = 0.05


def online_probes(
    z_train: ArrayLike, y_train: ArrayLike, z_test: ArrayLike, y_test: ArrayLike
) -> dict[str, float]:
    """Accuracies {"linear": ..., "knn": ...} (0..1) of two cheap probes without tuning.

    linear: ridge regression on one-hot labels in closed form, features standardised with the
    training rows, penalty .05 n: one d x d system, no iterations. It is meant for ordering
    checkpoints; a logistic probe is one to two points better. knn: as `jessl.probe(kind="knn")`.

    Args:
        z_train, z_test: [n, d] and [m, d] arrays or tensors.
        y_train, y_test: [n] and [m] whole numbers, -1 where missing (left out).

    Raises:
        ValueError: without labels, with one class, for NaN or infinite rows (counted).
    """
    train, test = Embeddings(z_train, y_train), Embeddings(z_test, y_test)
    train_rows, test_rows = labelled_rows("z_train", train), labelled_rows("z_test", test)
    x, y, labels = train_rows.x, train_rows.y, test_rows.y
    check_comparable(train, test, "z_test")
    classes, place = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y_train: expected at least two classes, got only {classes[0]}")
    mean, scale = mean_and_scale(x)
    z = (x - mean) / scale
    target = np.eye(len(classes))[place]
    weights = np.linalg.solve(
        z.T @ z + PENALTY * len(z) * np.eye(train.d), z.T @ (target - target.mean(axis=0))
    )
    decision = (test_rows.x - mean) / scale @ weights + target.mean(axis=0)
    return {
        "linear": float((classes[decision.argmax(axis=1)] == labels).mean()),
        "knn": 1.0 - float(evaluate(knn.build(x, y), test_rows.x, labels).wrong.mean()),
    }
