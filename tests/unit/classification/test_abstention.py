"""The promised error: its bound, its threshold, and how often the promise holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from jessl.classification.abstention import choose_threshold, error_bound, rows_needed


@pytest.mark.parametrize(("errors", "n"), [(0, 45), (2, 105), (7, 300)])
def test_the_bound_is_where_so_few_errors_have_a_chance_of_a_tenth(errors: int, n: int) -> None:
    bound = error_bound(errors, n)
    assert binom.cdf(errors, n, bound) == pytest.approx(0.1, rel=1e-9)
    assert error_bound(n, n) == 1.0


def test_rows_needed_are_the_fewest() -> None:
    assert (rows_needed(0.05), rows_needed(0.05, errors=2)) == (45, 105)
    for errors in (0, 1, 5):
        n = rows_needed(0.1, errors)
        assert error_bound(errors, n) <= 0.1 < error_bound(errors, n - 1)


def test_too_few_rows_promise_nothing() -> None:
    n = rows_needed(0.05) - 1
    result = choose_threshold(np.linspace(0.5, 1, n), np.zeros(n, bool), 0.05)
    assert result.threshold is None
    assert "cannot be promised from 44 held-out labelled images" in result.text
    whole = choose_threshold(np.linspace(0.5, 1, n + 1), np.zeros(n + 1, bool), 0.05)
    assert (whole.threshold, whole.held) == (0.5, n + 1)


def _errors(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and errors of a calibrated classifier: it errs as often as it says."""
    confidence = rng.uniform(0.5, 1, n)
    return confidence, rng.random(n) > confidence


def test_the_promise_holds_in_nine_of_ten_draws() -> None:
    rng = np.random.default_rng(0)
    broken = made = 0
    for _ in range(200):
        result = choose_threshold(*_errors(rng, 600), 0.1)
        if result.threshold is None:
            continue
        made += 1
        # of uniform confidences above t, the mean error is (1 - t) / 2
        broken += (1 - result.threshold) / 2 > 0.1
    assert made > 150
    assert broken / made < 0.1 + 3 * (0.1 * 0.9 / made) ** 0.5
    # and it is no empty promise: nearly as many are kept as could be, (1 - .8) / .5
    kept = choose_threshold(*_errors(rng, 20_000), 0.1)
    assert kept.threshold is not None
    assert kept.held / kept.rows == pytest.approx(0.4, abs=0.04)


def test_confidence_that_says_nothing_promises_nothing() -> None:
    rng = np.random.default_rng(1)
    promised = sum(
        choose_threshold(rng.random(500), rng.random(500) < 0.5, 0.1).threshold is not None
        for _ in range(100)
    )
    assert promised == 0


def test_rows_of_one_confidence_are_kept_or_left_together() -> None:
    few, many = np.arange(300) >= 270, np.arange(300) >= 150
    assert choose_threshold(np.full(300, 0.9), few, 0.3).held == 300
    # the rows that come first have no error: without those of equal confidence they would pass
    assert choose_threshold(np.full(300, 0.9), many, 0.3).threshold is None
