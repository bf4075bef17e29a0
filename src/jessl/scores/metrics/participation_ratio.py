"""Participation ratio of the covariance eigenvalues (Gao et al., bioRxiv 214262, 2017).

Higher: variance in more directions. Squares weigh the largest eigenvalues most, so it sees the
few leading directions and is blind to a tail that RankMe counts. Noise dimensions raise it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def participation_ratio_of(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """(sum_k l_k)^2 / sum_k l_k^2, l the eigenvalues of the centred covariance; 1 .. k, or 0.0."""
    top = float(eigenvalues[0])
    if top == 0:
        return 0.0
    share = eigenvalues / top  # squares of the eigenvalues themselves could overflow
    return float(share.sum() ** 2 / (share**2).sum())


SCORE = SpectralScore(
    of=participation_ratio_of,
    rows="centred",
    cap=lambda k, d, options: float(k),
    higher_is_better=True,
    source="Gao et al. 2017",
)
