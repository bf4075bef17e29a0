"""RankMe divided by the number of features (RankMe* of Tsitsulin et al., arXiv 2305.16562).

Higher is better, with the limits of RankMe. Dividing by d does not make encoders of different
widths comparable: of two encoders of the same rank, the wider one has the lower number. No extra
cost beside RankMe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore
from jessl.scores.metrics.rankme import EPS, largest_rankme, rankme_from_eigenvalues


def compute_normalized_rank(
    eigenvalues: NDArray[np.float64], n: int, d: int, *, eps: float = EPS
) -> float:
    """RankMe / d: above 0, at most a little above min(n, d) / d (eps)."""
    return rankme_from_eigenvalues(eigenvalues, eps=eps) / d


SCORE = SpectralScore(
    compute=compute_normalized_rank,
    cap=lambda k, d, options: largest_rankme(k, options["eps"]) / d,
    higher_is_better=True,
    entropy_of_singular_values=True,
    options={"eps": EPS},
    source="Tsitsulin et al. 2023",
)
