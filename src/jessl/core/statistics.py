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


LEVEL = 0.95


def share_interval(successes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of Clopper and Pearson (1934) of a share; both numbers may be fractional."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, n - successes + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
    return low, high
