"""Stable rank: squared Frobenius norm over squared spectral norm of the matrix as it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.spectral import SpectralScore


def stable_rank_of(eigenvalues: NDArray[np.float64]) -> float:
    """sum_k s_k^2 / s_1^2 (as in Tsitsulin et al., arXiv 2305.16562); 1 .. k, 0.0 for zero.

    A mean that all rows share is a large first singular value; NESum is this of centred rows.
    """
    top = float(eigenvalues[0])
    return float(eigenvalues.sum() / top) if top > 0 else 0.0


SCORE = SpectralScore(
    of=stable_rank_of,
    cap=float,
    center=False,
    higher_is_better=True,
    params={"center": False, "source": "Tsitsulin et al. 2023"},
)
