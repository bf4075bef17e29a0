"""NESum: eigenvalues of the covariance over the largest of them (He and Ozay, ICML 2022).

Higher: less collapsed. Only the largest eigenvalue sets the scale, so a single strong direction
(brightness, for example) brings it near 1 whatever the others are. Noise dimensions raise it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore
from jessl.scores.metrics.stable_rank import compute_stable_rank


def compute_nesum(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """sum_k l_k / l_1, l the eigenvalues of the centred covariance; 1 .. k, or 0.0."""
    return compute_stable_rank(eigenvalues, n, d)


SCORE = SpectralScore(
    compute=compute_nesum,
    rows="centred",
    cap=lambda k, d, options: float(k),
    higher_is_better=True,
    source="He and Ozay 2022",
)
