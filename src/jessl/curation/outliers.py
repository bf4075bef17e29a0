"""Images that are unlike all others of the pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.curation.nearest import Neighbours

_NEIGHBOURS = 10
# robust standard deviations of the logarithm of the distance
FAR = 4.0
# fewer rows have no distribution to lie outside of
LEAST_ROWS = 30


@dataclass(frozen=True, eq=False)
class Outliers:
    """How far each image is from the others.

    Attributes:
        score: float64 [n], robust standard deviations above the median row, of the logarithm of
            the mean distance to the 10 nearest rows that are no copies.
        rows: int64, the outliers, the farthest first.
    """

    score: NDArray[np.float64]
    rows: NDArray[np.int64]


def find_outliers(neighbours: Neighbours, distance: NDArray[np.float64]) -> Outliers:
    """Rows whose distance is 4 robust standard deviations above the median.

    Args:
        neighbours: of all rows.
        distance: [n], of each row to the nearest ones that are no copies of it, see
            `mean_distance`.
    """
    if len(distance) < LEAST_ROWS:
        return Outliers(np.zeros(len(distance)), np.zeros(0, np.int64))
    logs = np.log(np.maximum(distance, 1e-12))
    middle = np.median(logs)
    # 1.4826: the median absolute deviation of a normal distribution
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    score = (logs - middle) / spread if spread > 1e-9 else np.zeros(len(logs))
    far = np.flatnonzero(score > FAR)
    return Outliers(score, far[np.argsort(-score[far], kind="stable")])


def mean_distance(
    neighbours: Neighbours, counted: NDArray[np.bool_], most: int = _NEIGHBOURS
) -> NDArray[np.float64]:
    """Mean distance of each row to its nearest rows, among those that are counted: float64 [n].

    Where none of its neighbours is counted, the distance of the last one.
    """
    use = counted[neighbours.index]
    use &= np.cumsum(use, axis=1) <= most
    total = np.where(use, neighbours.distance, 0).sum(axis=1, dtype=np.float64)
    count = use.sum(axis=1)
    last = neighbours.distance[:, -1].astype(np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), last)
