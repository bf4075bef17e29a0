"""Seeded choices of rows that keep the shares of the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def folds(y: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """A fold 0 .. count-1 for each row: every class is shuffled and dealt out in turn.

    The dealing goes on from one class to the next, so that folds differ by at most one row.
    """
    rng = np.random.default_rng([seed, 1])
    place = np.empty(len(y), np.int64)
    order = np.concatenate([rng.permutation(np.flatnonzero(y == c)) for c in np.unique(y)])
    place[order] = np.arange(len(y)) % count
    return place


def stratified(
    y: NDArray[np.int64], size: int, seed: int, *, at_least: int = 0
) -> NDArray[np.intp]:
    """About `size` sorted rows with the class shares of `y` (largest remainders), `at_least` so
    many of each class; exactly `size` rows where `at_least` is 0."""
    rng = np.random.default_rng([seed, 2])
    classes, counts = np.unique(y, return_counts=True)
    exact = counts * (size / len(y))
    take = np.floor(exact).astype(int)
    short = size - int(take.sum())
    take[np.argsort(take - exact, kind="stable")[:short]] += 1
    take = np.minimum(np.maximum(take, at_least), counts)
    chosen = [
        rng.permutation(np.flatnonzero(y == c))[:k] for c, k in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def shots(y: NDArray[np.int64], each: int, seed: int) -> NDArray[np.intp]:
    """Exactly `each` sorted rows of every class.

    Raises:
        ValueError: when a class has fewer.
    """
    classes, counts = np.unique(y, return_counts=True)
    if each < 1:
        raise ValueError(f"shots: needs at least 1 image per class, got {each}")
    if counts.min() < each:
        poor = int(classes[counts.argmin()])
        raise ValueError(
            f"shots: {each} images per class asked, class {poor} has {int(counts.min())}"
        )
    rng = np.random.default_rng([seed, 2])
    return np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(y == c))[:each] for c in classes])
    )
