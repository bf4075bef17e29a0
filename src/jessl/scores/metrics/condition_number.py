"""Condition number of the uncentred features: largest over smallest singular value.

Lower is better according to its proponents (Tsitsulin et al., arXiv 2305.16562, use its inverse),
but in wide tests the sign of its correlation with accuracy varied between data sets. A single dead
feature makes it infinite, and all values between the largest and the smallest are ignored.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore

# an eigenvalue below this share of the largest, for each feature, is a rounding error of the Gram
# matrix
ROUNDING = float(np.finfo(np.float64).eps)


def compute_condition_number(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """s_1 / s_k, k = min(n, d): 1 .. about 1e7, beyond which it is infinite; NaN for zeros."""
    top, bottom = float(eigenvalues[0]), float(eigenvalues[-1])
    if top == 0:
        return math.nan
    return math.sqrt(top / bottom) if bottom > len(eigenvalues) * ROUNDING * top else math.inf


SCORE = SpectralScore(
    compute=compute_condition_number,
    smooth=False,
    higher_is_better=False,
    source="Tsitsulin et al. 2023",
)
