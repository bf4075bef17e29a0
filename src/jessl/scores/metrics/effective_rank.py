"""Effective rank (Roy and Vetterli, EUSIPCO 2007): RankMe without eps, 0 log 0 = 0.

Higher is better, with the limits of RankMe; it never exceeds min(n, d). No extra cost beside
RankMe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore
from jessl.scores.metrics.rankme import rankme_from_eigenvalues


def compute_effective_rank(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """exp of the entropy of s / ||s||_1, s the singular values; 1 .. k, 0.0 for a zero matrix."""
    return rankme_from_eigenvalues(eigenvalues, eps=0.0)


SCORE = SpectralScore(
    compute=compute_effective_rank,
    cap=lambda k, d, options: float(k),
    higher_is_better=True,
    entropy_of_singular_values=True,
    source="Roy and Vetterli 2007",
)
