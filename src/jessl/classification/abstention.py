"""A threshold of confidence above which the error stays below a promised rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import check_float

# probability with which the promise holds
CONFIDENCE = 0.9
# errors that the first test allows; more make the first step safer but need more rows
_FIRST_ERRORS = 2


@dataclass(frozen=True)
class Abstention:
    """When the classifier abstains.

    Attributes:
        max_error: the promised error rate of the predictions that are made, 0..1.
        threshold: smallest calibrated probability of a prediction that is made; None: nothing can
            be promised, and all predictions are abstentions.
        rows: held-out rows that the threshold rests on.
        held: how many of them reach the threshold.
        errors: how many of these are predicted wrongly.
        bound: upper bound of the error of predictions that are made, at `confidence`.
        confidence: of the bound.
    """

    max_error: float
    threshold: float | None
    rows: int
    held: int
    errors: int
    bound: float
    confidence: float = CONFIDENCE

    @property
    def text(self) -> str:
        """One sentence for people."""
        rate = f"{100 * self.max_error:g} %"
        if self.threshold is None:
            return (
                f"An error of at most {rate} cannot be promised from {self.rows:,} held-out "
                f"labelled images (at least {rows_needed(self.max_error):,} sure and right ones "
                "are needed): every prediction is marked as an abstention"
            )
        return (
            f"An error of at most {rate} holds with {100 * self.confidence:g} % confidence for "
            f"predictions with a probability of at least {self.threshold:.3f}: "
            f"{self.errors} errors in {self.held:,} of {self.rows:,} held-out labelled images"
        )


def check_max_error(value: float) -> float:
    """An error rate above 0 and below 1.

    Raises:
        ValueError: for anything else.
    """
    rate = check_float("max_error", value, minimum=0, maximum=1)
    if not 0 < rate < 1:
        raise ValueError(f"max_error: expected a share above 0 and below 1, got {value}")
    return rate


def rows_needed(max_error: float, errors: int = 0, confidence: float = CONFIDENCE) -> int:
    """The fewest rows with so many errors whose bound is at most `max_error`.

    Example:
        >>> rows_needed(0.05), rows_needed(0.05, errors=2)
        (45, 105)
    """
    low, high = errors + 1, errors + 1
    while error_bound(errors, high, confidence) > max_error:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if error_bound(errors, middle, confidence) > max_error:
            low = middle + 1
        else:
            high = middle
    return low


def error_bound(errors: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper bound of Clopper and Pearson of an error rate."""
    from scipy.stats import beta

    return float(beta.ppf(confidence, errors + 1, n - errors)) if errors < n else 1.0


def choose_threshold(
    confidence: NDArray[np.float64], wrong: NDArray[np.bool_], max_error: float
) -> Abstention:
    """The lowest threshold at which the error rate is at most `max_error`, with 90 % confidence.

    Thresholds are tested from high to low and the first that fails ends the sequence, so that the
    promise holds for the last that passes without a correction for their number (fixed-sequence
    testing; Angelopoulos et al. 2021, Learn then Test). The c-th threshold holds the fewest of the
    most confident rows of which c errors are allowed. The sequence begins at two allowed errors, or
    fewer where the rows do not suffice.

    Args:
        confidence: [n], calibrated probabilities of the predictions of held-out rows.
        wrong: [n], whether these are wrong.
        max_error: above 0, below 1.

    Example:
        choose_threshold(held_out_probability, held_out_wrong, 0.05).threshold
    """
    n = len(wrong)
    order = np.argsort(-confidence, kind="stable")
    errors_in = np.cumsum(wrong[order])
    allowed = _FIRST_ERRORS
    while allowed > 0 and rows_needed(max_error, allowed) > n:
        allowed -= 1
    best: tuple[int, int] | None = None
    while True:
        rows = rows_needed(max_error, allowed)
        if rows > n:
            # the last step: as many errors as allowed before, in all rows
            if best is not None and errors_in[-1] < allowed:
                best = n, allowed - 1
            break
        if errors_in[rows - 1] > allowed:
            break
        best = rows, allowed
        allowed += 1
    if best is None:
        return Abstention(max_error, None, n, 0, 0, 1.0)
    threshold = float(confidence[order[best[0] - 1]])
    inside = confidence >= threshold
    errors = int(wrong[inside].sum())
    held = int(inside.sum())
    if error_bound(errors, held) > max_error:  # rows of equal probability beyond the tested ones
        return Abstention(max_error, None, n, 0, 0, 1.0)
    return Abstention(max_error, threshold, n, held, errors, error_bound(errors, held))
