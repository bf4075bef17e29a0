"""Several labels and numbers: what is announced holds in worlds whose truth is known."""

from __future__ import annotations

import numpy as np

import jessl
from jessl.classification.multi_label import MultiLabel
from jessl.classification.regression import Regression


def _embeddings(x: np.ndarray) -> jessl.Embeddings:
    return jessl.Embeddings(x.astype(np.float32))


def test_intervals_of_numbers_hold() -> None:
    """Of 60 draws of 40 rows: nine tenths of new numbers in theirs, the error in its interval."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=6)
    shares, held = [], []
    for _ in range(60):
        x = rng.normal(size=(540, 6))
        y = x @ weights + rng.standard_t(3, 540)
        fitted = Regression.fit(_embeddings(x[:40]), y[:40])
        columns = fitted.outcome(_embeddings(x[40:])).columns
        low, high, value = (np.asarray(columns[k]) for k in ("low", "high", "value"))
        shares.append(((low <= y[40:]) & (y[40:] <= high)).mean())
        _, low_error, high_error = fitted.expected()
        held.append(low_error <= np.abs(value - y[40:]).mean() <= high_error)
    # 36.9 of 41 places, with the sd of a beta distribution over 60 draws
    assert abs(np.mean(shares) - 0.9) < 0.02
    # a bootstrap of the left-out rows: 0.82
    assert np.mean(held) > 0.86


def test_the_share_of_images_with_all_labels_right_is_in_its_interval() -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(6, 2)) * 2
    held = []
    for _ in range(6):
        x = rng.normal(size=(2060, 6))
        has = rng.random((2060, 2)) < 1 / (1 + np.exp(-x @ weights))
        sets = [frozenset("ab"[k] for k in np.flatnonzero(row)) for row in has]
        fitted = MultiLabel.fit(_embeddings(x[:60]), sets[:60])
        predicted = fitted.outcome(_embeddings(x[60:])).columns["labels"]
        right = [";".join(sorted(s)) == p for s, p in zip(sets[60:], predicted, strict=True)]
        values = fitted.as_json()
        held.append(float(values["low"]) <= np.mean(right) <= float(values["high"]))  # type: ignore[arg-type]
    assert np.mean(held) > 0.6
