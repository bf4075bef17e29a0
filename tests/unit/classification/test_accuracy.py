"""The expected accuracy: its interval against exact tests, and what cannot be estimated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from jessl.classification.accuracy import expected_accuracy, share_interval


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (37, 50), (480, 500)])
def test_the_interval_is_that_of_clopper_and_pearson(right: int, n: int) -> None:
    exact = binomtest(right, n).proportion_ci(0.95, method="exact")
    assert share_interval(right, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_rows_without_folds_are_no_estimate() -> None:
    result = expected_accuracy(np.zeros(9, bool), np.zeros(9, bool), 0, each=1, alone=9)
    assert (result.value, result.low, result.high) == (None, 0.0, 1.0)
    assert "cannot be estimated" in result.text


def test_rows_of_one_group_are_worth_one() -> None:
    wrong, known = np.arange(60) < 12, np.ones(60, bool)
    alone = expected_accuracy(wrong, known, 5, each=10)
    grouped = expected_accuracy(wrong, known, 5, np.arange(60) // 6, each=10)
    assert alone.value == grouped.value == 0.8
    assert grouped.independent == pytest.approx(alone.independent / 6)
    assert grouped.low < alone.low
    assert grouped.high > alone.high


def test_a_class_that_no_fold_knew_widens_both_ends() -> None:
    known = np.arange(60) >= 5
    wrong = (np.arange(60) < 5) | (np.arange(60) >= 49)
    result = expected_accuracy(wrong, known, 5, each=10, alone=5)
    sure = expected_accuracy(wrong[5:], known[5:], 5, each=10)
    assert result.value == sure.value == 0.8
    assert result.low < sure.low
    assert "5 classes have one labelled image" in result.text
