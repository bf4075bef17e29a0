"""The weighted nearest-neighbour probe (Wu et al., CVPR 2018): nothing is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

K = 20
TEMPERATURE = 0.07
_CHUNK_ENTRIES = 2**24  # of the similarity matrix: 64 MiB of float32


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The training rows, normalised."""

    classes: NDArray[np.int64]
    rows: NDArray[np.float32]
    place: NDArray[np.intp]
    k: int
    temperature: float
    converged: bool = True

    def votes(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """[m, d] -> [m, classes]: sums of exp(cosine / temperature) over the k nearest rows.

        Exact, in chunks of test rows: at most 64 MiB of similarities (or one row of them) are
        held at a time, beside a normalised copy of the features. All rows as near as the k-th
        vote, so that no order of the training rows matters.
        """
        z = normalised(x)
        votes = np.zeros((len(z), len(self.classes)))
        step = max(1, _CHUNK_ENTRIES // len(self.rows))
        for start in range(0, len(z), step):
            cosine = z[start : start + step] @ self.rows.T
            votes[start : start + step] = self._chunk(cosine)
        return votes

    def _chunk(self, cosine: NDArray[np.float32]) -> NDArray[np.float64]:
        m, n = cosine.shape
        classes = len(self.classes)
        nearest = np.argpartition(cosine, n - self.k, axis=1)[:, n - self.k :]
        near = np.take_along_axis(cosine, nearest, axis=1)
        cell = np.arange(m)[:, None] * classes + self.place[nearest]
        votes = np.zeros((m, classes))
        votes += np.bincount(cell.ravel(), self._weight(near).ravel(), m * classes).reshape(m, -1)
        least = near.min(axis=1, keepdims=True)
        for row in np.flatnonzero((cosine >= least).sum(axis=1) > self.k):
            tied = np.flatnonzero(cosine[row] >= least[row])
            weight = self._weight(cosine[row, tied])
            votes[row] = np.bincount(self.place[tied], weight, classes)
        return votes

    def _weight(self, cosine: NDArray[np.float32]) -> NDArray[np.float64]:
        # less 1: the same ratios for every temperature without overflow
        return np.exp((cosine.astype(np.float64) - 1) / self.temperature)


def fit(
    x: NDArray[Any], y: NDArray[np.int64], k: int = K, temperature: float = TEMPERATURE
) -> Neighbours:
    """Keep [n, d] rows with labels [n]; with fewer than k rows all of them vote."""
    classes, place = np.unique(y, return_inverse=True)
    return Neighbours(classes, normalised(x), place, min(k, len(x)), temperature)


def normalised(x: NDArray[Any]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay zero (cosine 0 with everything)."""
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(length > 0, length, 1.0)).astype(np.float32)
