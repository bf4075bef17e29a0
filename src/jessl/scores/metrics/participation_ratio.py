"""Participation ratio of the covariance eigenvalues (Gao et al., bioRxiv 214262, 2017).

Higher: variance in more directions. Squares give the largest eigenvalues most weight, so it
reflects the few leading directions and ignores a tail that RankMe counts. Noise dimensions raise
it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def compute_participation_ratio(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """(sum_k l_k)^2 / sum_k l_k^2, l the eigenvalues of the centred covariance; 1 .. k, or 0.0."""
    top = float(eigenvalues[0])
    if top == 0:
        return 0.0
    share = eigenvalues / top  # squares of the eigenvalues themselves could overflow
    return float(share.sum() ** 2 / (share**2).sum())


SCORE = SpectralScore(
    compute=compute_participation_ratio,
    rows="centred",
    cap=lambda k, d, options: float(k),
    higher_is_better=True,
    source="Gao et al. 2017",
)
