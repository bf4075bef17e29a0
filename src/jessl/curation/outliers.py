"""Images that are unlike all others of the pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.curation.nearest import Neighbours
from jessl.probes.base import Features
from jessl.probes.standardize import release_pages

_NEIGHBOURS = 10
# neighbours of a row in the sample: a 30th of it, since outliers of one kind are near to each other
_LEAST_NEAR, _MOST_NEAR, _SHARE_NEAR = 10, 50, 30
# rows that all others are compared with
_SAMPLE = 5_000
# above this width, principal axes of the sample
_MOST_AXES = 256
_ROWS = 1024
# robust standard deviations of the logarithm of the distance
FAR = 4.0
# fewer rows have no distribution to lie outside of
LEAST_ROWS = 30


@dataclass(frozen=True, eq=False)
class Outliers:
    """How far each image is from the others.

    Attributes:
        score: float64 [n], robust standard deviations above the median row, of the logarithm of
            the mean distance to the nearest rows of a sample.
        rows: int64, the outliers, the farthest first.
    """

    score: NDArray[np.float64]
    rows: NDArray[np.int64]


def find_outliers(
    features: Features, counted: NDArray[np.bool_] | None = None, *, seed: int = 0
) -> Outliers:
    """Rows whose distance is 4 robust standard deviations above the median.

    The distance is the mean of those to the nearest rows, in standardised features: of a sample of
    up to 5,000 rows a 30th of it, 10 to 50. With 10 neighbours of all rows outliers of one kind
    hide each other, and the cosine ignores their length (benchmarks/records, curate-outliers).

    Args:
        features: [n, d], finite; an array or a memory map.
        counted: bool [n], rows that may be in the sample: no copies; None: all.
        seed: of the sample.
    """
    n = len(features)
    rows = np.arange(n) if counted is None else np.flatnonzero(counted)
    if len(rows) < LEAST_ROWS:
        return Outliers(np.zeros(n), np.zeros(0, np.int64))
    sample = np.sort(np.random.default_rng([seed, 15]).permutation(rows)[:_SAMPLE])
    logs = np.log(np.maximum(_distance_to_sample(features, sample), 1e-12))
    middle = np.median(logs)
    # 1.4826: the median absolute deviation of a normal distribution
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    score = (logs - middle) / spread if spread > 1e-9 else np.zeros(n)
    far = np.flatnonzero(score > FAR)
    return Outliers(score, far[np.argsort(-score[far], kind="stable")])


def _distance_to_sample(features: Features, sample: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean distance of each row to the nearest rows of the sample but itself: [n]."""
    known = np.asarray(features[sample], np.float64)
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    # a feature that is constant in the sample: its own scale would be infinite
    deviation = np.where(deviation > 0, deviation, max(float(deviation.max()), 1e-300))
    known = (known - mean) / deviation
    axes = None
    if known.shape[1] > _MOST_AXES:
        axes = np.linalg.eigh(known.T @ known)[1][:, -_MOST_AXES:]
        known = known @ axes
    squares = (known**2).sum(axis=1)
    near = int(np.clip(len(sample) // _SHARE_NEAR, _LEAST_NEAR, _MOST_NEAR))
    result = np.empty(len(features))
    for start in range(0, len(features), _ROWS):
        part = (np.asarray(features[start : start + _ROWS], np.float64) - mean) / deviation
        release_pages(features)
        if axes is not None:
            part = part @ axes
        apart = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ known.T
        own = np.flatnonzero((sample >= start) & (sample < start + len(part)))
        apart[sample[own] - start, own] = np.inf
        nearest = np.partition(apart, near - 1, axis=1)[:, :near]
        result[start : start + len(part)] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    return result


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
