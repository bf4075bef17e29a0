"""Calibration of probabilities by one temperature (Guo et al. 2017), from held-out decisions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Labels
from jessl.probes.held_out import log_softmax

_MOST_LOG = 3.0
# strength of the prior at temperature 1, in rows: few rows measure a temperature badly
_PRIOR_ROWS = 5.0
_BINS = 15


def fit_temperature(decision: NDArray[np.float64], y: Labels) -> float:
    """The temperature with the smallest log-loss, drawn towards 1 where rows are few.

    Args:
        decision: [n, classes] held-out logits; y: [n] labels 0 .. classes - 1.

    Returns:
        1 without rows; 0.05 to 20.

    Example:
        >>> fit_temperature(np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), np.array([0, 1, 1]))
        2.6...
    """
    from scipy.optimize import minimize_scalar

    if not len(y):
        return 1.0
    row = np.arange(len(y))

    def cost(log_temperature: float) -> float:
        loss = -log_softmax(decision, float(np.exp(log_temperature)))[row, y]
        return float(loss.sum() + _PRIOR_ROWS * log_temperature**2)

    fit = minimize_scalar(
        cost, bounds=(-_MOST_LOG, _MOST_LOG), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(fit.x))


def calibration_error(
    probability: NDArray[np.float64], right: NDArray[np.bool_], bins: int = _BINS
) -> float:
    """The expected calibration error: mean distance of confidence and accuracy over bins, 0..1.

    Args:
        probability: [n] of the predicted class; right: [n] whether it is the label.
        bins: of equal width; each counts by its rows (Naeini et al. 2015).
    """
    place = np.minimum((probability * bins).astype(int), bins - 1)
    total = np.bincount(place, minlength=bins)
    gap = np.bincount(place, probability - right, minlength=bins)
    return float(np.abs(gap).sum() / max(1, total.sum()))
