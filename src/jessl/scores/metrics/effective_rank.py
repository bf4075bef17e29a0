"""Effective rank (Roy and Vetterli, EUSIPCO 2007): RankMe without eps, 0 log 0 = 0.

Higher is better, as for RankMe, and it fails as RankMe does; it never exceeds min(n, d). Costs
nothing beside RankMe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore
from jessl.scores.metrics.rankme import rankme_of


def effective_rank_of(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """exp of the entropy of s / ||s||_1, s the singular values; 1 .. k, 0.0 for a zero matrix."""
    return rankme_of(eigenvalues, eps=0.0)


SCORE = SpectralScore(
    of=effective_rank_of,
    cap=lambda k, d, options: float(k),
    higher_is_better=True,
    entropy_of_singular_values=True,
    source="Roy and Vetterli 2007",
)
