"""alpha-ReQ: the exponent of the decay of covariance eigenvalues (Agrawal et al., NeurIPS 2022).

Best near 1 according to the authors, who call that necessary and not sufficient; so it has no
direction. The range of the fit matters: on exact power-law data ranges from 1-20 to 20-120 move the
exponent by .04, on real spectra they have reversed the sign of its correlation with accuracy. The
range is recorded with the number and never changed in place (two published versions shift it by
one at each call). Meaningless where the spectrum is not a power law.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore
from jessl.scores.metrics.condition_number import ROUNDING


def compute_alpha_req(
    eigenvalues: NDArray[np.float64], n: int, d: int, *, first: int = 11, last: int = 100
) -> float:
    """Slope of log l_i against -log i by least squares with weights 1 / i (the authors' code).

    Args:
        eigenvalues: l, of the centred covariance (their scale does not matter).
        first, last: the range of fitted eigenvalues, counted from 1, both included. Eigenvalues
            that are rounding errors of the largest are left out. The defaults are the 10 .. 99,
            counted from 0, of the authors' analysis; their training code begins at 4, which gives
            2.33 instead of 1.89 for a ResNet-20.

    Returns:
        alpha, or NaN with fewer than three eigenvalues in the range.

    Raises:
        ValueError: unless 1 <= first < last.
    """
    if not 1 <= first < last:
        raise ValueError(f"alpha_req: expected 1 <= first < last, got {first} and {last}")
    fitted = eigenvalues[first - 1 : last]
    fitted = fitted[fitted > len(eigenvalues) * ROUNDING * eigenvalues[0]]
    if len(fitted) < 3:
        return float("nan")
    i = np.arange(first, first + len(fitted))
    x, y, weight = np.log(i), np.log(fitted), 1 / i
    x -= np.average(x, weights=weight)
    return float(-(weight * x * y).sum() / (weight * x * x).sum())


SCORE = SpectralScore(
    compute=compute_alpha_req,
    rows="centred",
    higher_is_better=None,
    options={"first": 11, "last": 100},
    source="Agrawal et al. 2022",
)
