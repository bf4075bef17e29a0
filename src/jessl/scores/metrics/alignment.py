"""Alignment: how close the views of an image lie (Wang and Isola, ICML 2020)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._rows import unit_rows

# numbers in a chunk of images in float64 (32 MiB)
_CHUNK = 2**22
# 1 - |mean of the unit rows|^2 below this is rounding: all rows are equal
_CONSTANT = 1e-12


def compute_alignment(
    z: NDArray[np.floating], block: NDArray[np.int64] | None, *, alpha: float = 2.0
) -> RowScoreResult:
    """Mean over images and unordered pairs of their views of |x - y|^alpha, unit rows.

    Wang and Isola, arXiv 2005.10242, section 4.1.1, with alpha = 2 as in their code, which has two
    views. With q views all pairs of an image have equal weight; for alpha = 2 their mean is
    2 / (q - 1) times the squared distances from the views' mean, which is O(q).

    From 0 to 2^alpha; 2 for alpha = 2 where views are unrelated. Lower is better. Time and memory:
    one pass over q * n * d numbers for alpha = 2, q (q - 1) / 2 passes otherwise.

    Limits: features that are equal for all images are perfectly aligned (0). It is informative only
    together with a score that detects collapse, such as uniformity or rankme, and only for views of
    the same recipe: weaker augmentations lower it.

    Args:
        z: [views, n, d], at least two views; rows of zeros stay zeros.
        block: [n], or None; `deleted` is exactly the score of the other images.
        alpha: above 0.

    Raises:
        ValueError: for fewer than two views or alpha out of range.
    """
    if len(z) < 2:
        raise ValueError(f"views: alignment needs at least 2 views of each image, got {len(z)}")
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: expected a number above 0, got {alpha}")
    q, n, d = z.shape
    each, mean, mass = np.empty(n), np.zeros(d), 0.0
    step = max(1, _CHUNK // (q * d))
    for start in range(0, n, step):
        x = unit_rows(z[:, start : start + step])
        each[start : start + step] = _mean_pair_distances(x, alpha)
        mean += x.sum(axis=(0, 1)) / (q * n)
        mass += float((x * x).sum()) / (q * n)
    warnings = []
    if mass - float(mean @ mean) <= _CONSTANT * mass:
        warnings.append("all rows are equal: constant features are always aligned")
    deleted = None
    if block is not None:
        which = np.unique(block, return_inverse=True)[1]
        count = np.bincount(which)
        if len(count) > 1:
            # a sum over the others, not total minus block, which would cancel digits
            sums = np.bincount(which, each)
            left = np.array([np.delete(sums, b).sum() for b in range(len(sums))])
            deleted = left / (n - count)
        else:
            warnings.append("all images are in one block: there is no spread")
    return RowScoreResult(value=float(each.mean()), deleted=deleted, warnings=tuple(warnings))


def _mean_pair_distances(x: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """[n] from unit rows [q, n, d]: the mean over an image's pairs of views."""
    q = len(x)
    if alpha == 2:
        difference = x - x.mean(axis=0)
        squares: NDArray[np.float64] = np.einsum("qnd,qnd->n", difference, difference)
        return squares * (2 / (q - 1))
    total = np.zeros(x.shape[1])
    for i in range(q):
        for j in range(i):
            difference = x[i] - x[j]
            total += np.einsum("nd,nd->n", difference, difference) ** (alpha / 2)
    total /= q * (q - 1) / 2
    return total


SCORE = RowScore(
    compute=compute_alignment,
    views=True,
    higher_is_better=False,
    options={"alpha": 2.0},
    source="Wang and Isola 2020, arXiv 2005.10242",
)
