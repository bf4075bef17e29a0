"""SelfCluster: how far rows point in the same direction (Tsitsulin et al., arXiv 2305.16562).

0 for random directions, 1 for rows that all agree; lower is better. Computed from the d x d Gram
matrix of the unit rows in O(n d^2), where the authors' code builds the n x n matrix. A shared mean
raises it, independently of the classes; tight classes, which favour a probe, raise it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def compute_self_cluster(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """(||W W^T||_F^2 - n - n(n-1)/d) / (n^2 - n - n(n-1)/d), W the rows divided by their norms.

    ||W W^T||_F^2 is the sum of the squared eigenvalues. About 0 .. 1, slightly below 0 for rows
    more evenly spread than random ones; NaN for one row, one feature or only zeros.
    """
    if n == 1 or d == 1 or eigenvalues[0] == 0:
        return float("nan")
    random = n + n * (n - 1) / d
    return (float((eigenvalues**2).sum()) - random) / (n * n - random)


SCORE = SpectralScore(
    compute=compute_self_cluster,
    rows="unit",
    higher_is_better=False,
    source="Tsitsulin et al. 2023",
)
