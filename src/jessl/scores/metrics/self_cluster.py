"""SelfCluster: how far rows point the same way (Tsitsulin et al., arXiv 2305.16562).

0 for directions as spread as random ones, 1 for rows that all agree; lower is better. Of the
d x d Gram matrix of the unit rows in O(n d^2), where the authors' code builds the n x n matrix.
A shared mean raises it, whatever the classes do; tight classes, which a probe likes, raise it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def self_cluster_of(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """(||W W^T||_F^2 - n - n(n-1)/d) / (n^2 - n - n(n-1)/d), W the rows divided by their norms.

    ||W W^T||_F^2 is the sum of the squared eigenvalues. About 0 .. 1, a little below 0 for rows
    more evenly spread than random ones; NaN for one row, one feature or only zeros.
    """
    if n == 1 or d == 1 or eigenvalues[0] == 0:
        return float("nan")
    random = n + n * (n - 1) / d
    return (float((eigenvalues**2).sum()) - random) / (n * n - random)


SCORE = SpectralScore(
    of=self_cluster_of,
    rows="unit",
    higher_is_better=False,
    source="Tsitsulin et al. 2023",
)
