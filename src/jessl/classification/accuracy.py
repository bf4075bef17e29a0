"""The accuracy to expect on further images, from held-out labelled rows, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.statistics import share_interval
from jessl.probes.cross_validation import variance_factor

# the error falls with the number of rows about as n^-0.5 where rows are few; the upper end of the
# interval allows for it, as the fits of the folds see fewer rows than the classifier
_LEARNING_RATE = 0.5


@dataclass(frozen=True)
class ExpectedAccuracy:
    """The accuracy on images that come from where the labelled ones came from.

    Attributes:
        value: share of held-out labelled rows that are predicted rightly; None where it cannot be
            estimated.
        low, high: 95 % interval (Clopper-Pearson of as many independent rows as these are worth,
            the upper end with the gain of the rows that the folds leave out); 0 and 1 where it
            cannot be estimated.
        rows: labelled rows that it rests on.
        independent: how many independent rows they are worth, whole groups counted once.
        folds: of the cross-validation; 1: the rows were held out of a single training.
        alone: classes with a single labelled row, whose accuracy is unknown.
    """

    value: float | None
    low: float
    high: float
    rows: int
    independent: float
    folds: int
    alone: int

    @property
    def text(self) -> str:
        """One sentence for people."""
        if self.value is None:
            return (
                "Expected accuracy: cannot be estimated, as no class has two labelled images; "
                "label at least one more image of each class"
            )
        rest = ""
        if self.alone:
            classes = "1 class has" if self.alone == 1 else f"{self.alone} classes have"
            rest = f"; {classes} one labelled image, whose accuracy is unknown"
        source = "that were held out" if self.folds == 1 else f"in {self.folds} folds"
        return (
            f"Expected accuracy {100 * self.value:.1f} % (95 % interval {100 * self.low:.1f} to "
            f"{100 * self.high:.1f}), from {self.rows:,} labelled images {source}, "
            f"for images in the same mixture of classes{rest}"
        )


def expected_accuracy(
    wrong: NDArray[np.bool_],
    known: NDArray[np.bool_],
    folds: int,
    units: NDArray[np.int64] | None = None,
    *,
    each: float,
    alone: int = 0,
) -> ExpectedAccuracy:
    """The expected accuracy of a classifier that is fitted on all rows.

    Args:
        wrong: [n], held-out rows that are predicted wrongly.
        known: [n], rows whose class the fit without them knew. The others count as wrong at the
            lower end of the interval and as right at the upper end.
        folds: of the cross-validation; 0: nothing was held out.
        units: [n], equal for rows that are not independent; the interval is that of as many rows.
        each: rows of the median class.
        alone: classes with a single row.

    Example:
        >>> wrong = np.arange(50) < 10
        >>> result = expected_accuracy(wrong, np.ones(50, bool), 5, each=5)
        >>> result.value, round(result.low, 2), round(result.high, 2)
        (0.8, 0.61, 0.94)
    """
    n = len(wrong)
    groups = n if units is None else len(np.unique(units))
    independent = groups / variance_factor(each)
    if folds == 0 or not known.any():
        return ExpectedAccuracy(None, 0.0, 1.0, n, independent, folds, alone)
    unknown = int((~known).sum())
    errors = int((wrong & known).sum())
    share = independent / n
    low, _ = share_interval(n * share - (errors + unknown) * share, independent)
    _, high = share_interval(n * share - errors * share, independent)
    gain = ((folds - 1) / folds) ** _LEARNING_RATE
    high = 1 - (1 - high) * gain
    value = 1 - errors / int(known.sum())
    return ExpectedAccuracy(value, min(low, value), max(high, value), n, independent, folds, alone)
