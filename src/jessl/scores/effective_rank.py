"""Effective rank (Roy and Vetterli, EUSIPCO 2007): RankMe without eps, 0 log 0 = 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.rankme import rankme_of
from jessl.scores.spectral import SpectralScore


def effective_rank_of(eigenvalues: NDArray[np.float64]) -> float:
    """exp of the entropy of s / ||s||_1, s the singular values; 1 .. k, 0.0 for a zero matrix."""
    return rankme_of(eigenvalues, eps=0.0)


SCORE = SpectralScore(
    of=effective_rank_of,
    cap=float,
    center=False,
    higher_is_better=True,
    entropy_of_singular_values=True,
    params={"eps": 0.0, "center": False, "source": "Roy and Vetterli 2007"},
)
