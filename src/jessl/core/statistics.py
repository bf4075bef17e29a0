"""Intervals that several parts of the library share."""

from __future__ import annotations


def student_t_half_width(standard_error: float, degrees: int) -> float:
    """Half the width of a 95 % interval, by Student's t.

    Args:
        standard_error: of the estimate.
        degrees: of freedom, at least 1.
    """
    from scipy.stats import t

    return float(t.ppf(0.975, degrees)) * standard_error
