"""Condition number of the features as they are: largest over smallest singular value.

Lower is better by those who propose it (Tsitsulin et al., arXiv 2305.16562, take its inverse),
but its sign turned between data sets where it was tested widely. One dead feature makes it
infinite, and everything between the largest and the smallest value is ignored.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore

# an eigenvalue below this share of the largest, for each feature, is rounding of the Gram matrix
ROUNDING = float(np.finfo(np.float64).eps)


def condition_number_of(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """s_1 / s_k, k = min(n, d): 1 .. about 1e7, beyond which it is infinite; NaN for zeros."""
    top, bottom = float(eigenvalues[0]), float(eigenvalues[-1])
    if top == 0:
        return math.nan
    return math.sqrt(top / bottom) if bottom > len(eigenvalues) * ROUNDING * top else math.inf


SCORE = SpectralScore(
    of=condition_number_of,
    smooth=False,
    higher_is_better=False,
    source="Tsitsulin et al. 2023",
)
