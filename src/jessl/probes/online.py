"""Probes that are fast enough to run inside of a training."""

from __future__ import annotations

from typing import Any

import numpy as np

from jessl.embeddings import Embeddings
from jessl.probes.base import evaluate
from jessl.probes.kinds import knn
from jessl.probes.labelled import comparable, labelled_rows
from jessl.probes.standardize import standardisation

PENALTY = 0.05


def online_probes(z_train: Any, y_train: Any, z_test: Any, y_test: Any) -> dict[str, float]:
    """Accuracies {"linear": ..., "knn": ...} (0..1) of two cheap probes without tuning.

    linear: ridge regression on one-hot labels in closed form, features standardised with the
    training rows, penalty .05 n: one d x d system, no iterations. It orders checkpoints; a
    logistic probe is one to two points better. knn: as `jessl.probe(kind="knn")`.

    Args:
        z_train, z_test: [n, d] and [m, d] arrays or tensors.
        y_train, y_test: [n] and [m] whole numbers, -1 where missing (left out).

    Raises:
        ValueError: without labels, with one class, for NaN or infinite rows (counted).
    """
    train, test = Embeddings(z_train, y_train), Embeddings(z_test, y_test)
    given, asked = labelled_rows("z_train", train), labelled_rows("z_test", test)
    x, y, labels = given.x, given.y, asked.y
    comparable(train, test, "z_test")
    classes, place = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y_train: needs at least two classes, all are {classes[0]}")
    mean, scale = standardisation(x)
    z = (x - mean) / scale
    target = np.eye(len(classes))[place]
    weights = np.linalg.solve(
        z.T @ z + PENALTY * len(z) * np.eye(train.d), z.T @ (target - target.mean(axis=0))
    )
    votes = (asked.x - mean) / scale @ weights + target.mean(axis=0)
    return {
        "linear": float((classes[votes.argmax(axis=1)] == labels).mean()),
        "knn": 1.0 - float(evaluate(knn.fit(x, y), asked.x, labels).wrong.mean()),
    }
