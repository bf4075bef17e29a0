"""NESum: eigenvalues of the covariance over the largest of them (He and Ozay, ICML 2022).

Higher: less collapsed. The largest eigenvalue alone sets the scale, so one strong direction
(brightness, say) brings it near 1 whatever the others are. Noise dimensions raise it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore
from jessl.scores.metrics.stable_rank import stable_rank_of


def nesum_of(eigenvalues: NDArray[np.float64], n: int, d: int) -> float:
    """sum_k l_k / l_1, l the eigenvalues of the centred covariance; 1 .. k, or 0.0."""
    return stable_rank_of(eigenvalues, n, d)


SCORE = SpectralScore(
    of=nesum_of,
    rows="centred",
    cap=lambda k, d, options: float(k),
    higher_is_better=True,
    source="He and Ozay 2022",
)
