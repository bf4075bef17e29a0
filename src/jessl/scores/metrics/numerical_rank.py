"""Numerical rank: the number of singular values above rounding error.

The definition that the RankMe paper compares its own with. It is a threshold: it moves in whole
steps, and singular values below eps max(n, d) times the largest count as zero; at n = 25,600 that
is a four-hundredth of the largest. Noise dimensions count fully.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def compute_numerical_rank(
    eigenvalues: NDArray[np.float64], n: int, d: int, *, eps: float = 1e-7
) -> float:
    """How many s_k exceed s_1 max(n, d) eps, s the singular values, not centred; 0 .. k.

    Args:
        eps: relative rounding, 1e-7 for float32 (Garrido et al. 2023, section 3.1).

    Raises:
        ValueError: for eps out of 0 .. 1.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"numerical_rank: expected eps in 0 .. 1, got {eps}")
    s = np.sqrt(eigenvalues)
    return float((s > s[0] * max(n, d) * eps).sum())


SCORE = SpectralScore(
    compute=compute_numerical_rank,
    cap=lambda k, d, options: float(k),
    smooth=False,
    higher_is_better=True,
    options={"eps": 1e-7},
    source="Garrido et al. 2023, section 3.1",
)
