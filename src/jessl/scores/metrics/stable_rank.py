"""Stable rank: squared Frobenius norm over squared spectral norm, not centred.

As in Tsitsulin et al. (arXiv 2305.16562). Higher is better. A mean that all rows share is one large
singular value and brings it near 1 whatever else the features contain; NESum is the same score of
centred rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def compute_stable_rank(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """sum_k s_k^2 / s_1^2; 1 .. k, 0.0 for a zero matrix."""
    top = float(eigenvalues[0])
    return float((eigenvalues / top).sum()) if top > 0 else 0.0


SCORE = SpectralScore(
    compute=compute_stable_rank,
    cap=lambda k, d, options: float(k),
    higher_is_better=True,
    source="Tsitsulin et al. 2023",
)
