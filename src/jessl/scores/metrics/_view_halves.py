"""Second moments of the views of two halves of the images: one to fit directions, one to test them.

Directions that are fitted and tested on the same images look more reliable than they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScoreResult

# images below which half of them fit nothing
_FEWEST = 8
# numbers in a chunk of images in float64
_CHUNK = 2**21


@dataclass(frozen=True)
class ViewMoments:
    """Sums over images with q views each; they add and subtract.

    Attributes:
        images: their number; views: q.
        total: [d] sum of all rows.
        within: [d, d] sum over rows of z z'.
        across: [d, d] sum over images of s s', s the sum of an image's views.
    """

    images: int
    views: int
    total: NDArray[np.float64]
    within: NDArray[np.float64]
    across: NDArray[np.float64]

    @classmethod
    def of(cls, z: NDArray[np.floating]) -> ViewMoments:
        """The sums of [q, n, d]."""
        q, n, d = z.shape
        total, within, across = np.zeros(d), np.zeros((d, d)), np.zeros((d, d))
        step = max(1, _CHUNK // (q * d))
        for start in range(0, n, step):
            part = np.asarray(z[:, start : start + step], np.float64)
            image = part.sum(axis=0)
            rows = part.reshape(-1, d)
            total += image.sum(axis=0)
            within += rows.T @ rows
            across += image.T @ image
        return cls(n, q, total, within, across)

    def __add__(self, other: ViewMoments) -> ViewMoments:
        return self._combine(other, 1)

    def __sub__(self, other: ViewMoments) -> ViewMoments:
        return self._combine(other, -1)

    def _combine(self, other: ViewMoments, sign: int) -> ViewMoments:
        return ViewMoments(
            self.images + sign * other.images,
            self.views,
            self.total + sign * other.total,
            self.within + sign * other.within,
            self.across + sign * other.across,
        )

    @property
    def covariance(self) -> NDArray[np.float64]:
        """[d, d] of all rows about their mean."""
        rows = self.images * self.views
        mean = self.total / rows
        return self.within / rows - np.outer(mean, mean)

    @property
    def shared(self) -> NDArray[np.float64]:
        """[d, d] covariance between two views of an image: what views agree on."""
        q, n = self.views, self.images
        mean = self.total / (n * q)
        return (self.across - self.within) / (n * q * (q - 1)) - np.outer(mean, mean)


def cross_fit(
    z: NDArray[np.floating],
    block: NDArray[np.int64] | None,
    held_out: Callable[[ViewMoments, ViewMoments, int], float],
    name: str,
) -> RowScoreResult:
    """The mean of `held_out(fit, test, half)`, halves in both roles, and without each block.

    The halves are the first and the second half of the images, whose order is random. Memory: 16
    d^2 bytes for each half of each block.

    Args:
        z: [q, n, d] with q of at least 2.
        block: [n] jackknife block of each image, or None.
        held_out: the score of directions of the first argument on the images of the second; the
            third is the half that fits, 0 or 1.
        name: of the score, for warnings and errors.
    """
    q, n, _ = z.shape
    if q < 2:
        raise ValueError(f"views: {name} needs at least 2 views of each image, got {q}")
    if n < _FEWEST:
        return RowScoreResult(
            value=float("nan"),
            deleted=None,
            warnings=(f"{name} fits on half of the images: {n} are too few",),
        )
    # sums about the common mean keep their digits
    centred = z - z.mean(axis=(0, 1), dtype=np.float64)
    top = float(np.abs(centred).max())
    if top <= 1e-7 * float(np.abs(z).max()):
        return RowScoreResult(value=0.0, deleted=None, warnings=("all rows are equal",))
    centred /= top
    half = halves(n)
    which = np.zeros(n, np.int64) if block is None else np.unique(block, return_inverse=True)[1]
    parts = [
        [ViewMoments.of(centred[:, (half == side) & (which == b)]) for side in (0, 1)]
        for b in range(which.max() + 1)
    ]
    first, second = parts[0]
    for more_first, more_second in parts[1:]:
        first, second = first + more_first, second + more_second

    def both(one: ViewMoments, other: ViewMoments) -> float:
        return (held_out(one, other, 0) + held_out(other, one, 1)) / 2

    deleted = None
    if block is not None and len(parts) > 1:
        deleted = np.array([both(first - one, second - other) for one, other in parts])
    return RowScoreResult(value=both(first, second), deleted=deleted)


def halves(n: int) -> NDArray[np.int64]:
    """0 for the first half of n images, 1 for the others."""
    return (np.arange(n) >= n // 2).astype(np.int64)


def share_directions(
    fit: ViewMoments, ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Canonical directions between views: (c [d], largest first; V [d, d], columns of variance 1).

    V solves shared v = c (covariance + l I) v with l = ridge x the mean variance. c is clipped to
    0 .. 1. With several views this is the maximum-variance form of multiset canonical correlation.
    """
    from scipy.linalg import eigh

    total = fit.covariance
    d = len(total)
    level = ridge * float(np.trace(total)) / d
    values, vectors = eigh(fit.shared, total + level * np.eye(d), check_finite=False)
    spread = np.sqrt(np.maximum(np.einsum("dk,dk->k", vectors, total @ vectors), 1e-300))
    return np.clip(values[::-1], 0.0, 1.0), (vectors / spread)[:, ::-1]
