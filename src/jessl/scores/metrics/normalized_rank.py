"""RankMe over the number of features (Tsitsulin et al., arXiv 2305.16562, call it RankMe*).

Higher is better, with RankMe's failures. Dividing by d does not make encoders of other widths
comparable: a wide encoder whose rank is the same has the lower number. Costs nothing beside
RankMe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore
from jessl.scores.metrics.rankme import EPS, cap, rankme_of


def normalized_rank_of(
    eigenvalues: NDArray[np.float64], n: int, d: int, *, eps: float = EPS
) -> float:
    """RankMe / d: above 0, at most a little above min(n, d) / d (eps)."""
    return rankme_of(eigenvalues, eps=eps) / d


SCORE = SpectralScore(
    of=normalized_rank_of,
    cap=lambda k, d, options: cap(k, options["eps"]) / d,
    higher_is_better=True,
    entropy_of_singular_values=True,
    options={"eps": EPS},
    source="Tsitsulin et al. 2023",
)
