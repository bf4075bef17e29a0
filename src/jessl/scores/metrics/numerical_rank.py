"""Numerical rank: singular values above what rounding leaves of nothing.

The definition that the RankMe paper sets its own against. A threshold: it moves in whole steps
or not at all, and everything below 1 / (eps max(n, d)) of the largest counts as nothing: at
n = 25,600 that is a four-hundredth of the largest. Noise dimensions count fully.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def numerical_rank_of(
    eigenvalues: NDArray[np.float64], n: int, d: int, *, eps: float = 1e-7
) -> float:
    """How many s_k exceed s_1 max(n, d) eps, s the singular values as they are; 0 .. k.

    Args:
        eps: relative rounding, 1e-7 for float32 (Garrido et al. 2023, section 3.1).

    Raises:
        ValueError: for eps out of 0 .. 1.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"numerical_rank: needs eps in 0 .. 1, got {eps}")
    s = np.sqrt(eigenvalues)
    return float((s > s[0] * max(n, d) * eps).sum())


SCORE = SpectralScore(
    of=numerical_rank_of,
    cap=lambda k, d, options: float(k),
    smooth=False,
    higher_is_better=True,
    options={"eps": 1e-7},
    source="Garrido et al. 2023, section 3.1",
)
