"""What a method of choosing images gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Pool:
    """Images to choose from.

    Attributes:
        rows: float32 [n, r], of length 1.
        density_distance: float64 [n], mean distance of each row to its nearest rows; small where
            the pool is dense.
        labelled: int64 [m], rows that have a label already.
        allowed: bool [n], rows that may be chosen: neither labelled nor copies of others.
        classes: number of classes of the labels; 0 where there are none.
    """

    rows: NDArray[np.float32]
    density_distance: NDArray[np.float64]
    labelled: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    classes: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def sampled(self, most: int, seed: int) -> NDArray[np.int64]:
        """All rows, or a random sample with all labelled ones up to half of it: sorted int64."""
        if len(self) <= most:
            return np.arange(len(self))
        rng = np.random.default_rng([seed, 12])
        labelled = rng.permutation(self.labelled)[: most // 2]
        others = np.setdiff1d(np.arange(len(self)), labelled)
        return np.sort(np.r_[labelled, rng.choice(others, most - len(labelled), replace=False)])


def distance_to(
    rows: NDArray[np.float32], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(distance, 1 - cosine, to the nearest of some rows; which of them): [n] each."""
    nearest = np.full(len(rows), np.inf)
    which = np.zeros(len(rows), np.int64)
    step = max(1, 2**23 // max(1, len(chosen)))
    for start in range(0, len(rows) if len(chosen) else 0, step):
        part = slice(start, start + step)
        cosine = rows[part] @ rows[chosen].T
        which[part] = cosine.argmax(axis=1)
        nearest[part] = 1 - cosine.max(axis=1)
    return nearest, which
