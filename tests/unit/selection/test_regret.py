"""Agreement of orders, and what labels say of a choice."""

from __future__ import annotations

import math

import pytest

from jessl.core.rank_correlation import kendall, pooled, spearman
from jessl.selection.regret import estimate_regret


def _tau_b(a: list[float], b: list[float]) -> float:
    """By its definition: concordant less discordant pairs over pairs that are not tied."""
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    s = sum(math.copysign(1, (a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs
            if a[i] != a[j] and b[i] != b[j])  # fmt: skip
    untied = [sum(x[i] != x[j] for i, j in pairs) for x in (a, b)]
    return s / math.sqrt(untied[0] * untied[1])


def test_kendall_by_its_definition() -> None:
    a, b = [1.0, 2.0, 2.0, 4.0, 5.0], [2.0, 1.0, 3.0, 3.0, 9.0]
    assert kendall(a, b).value == pytest.approx(_tau_b(a, b))
    same = kendall([1, 2, 3, 4], [2, 3, 5, 8])
    # of 4! orders one agrees wholly and one is the reverse
    assert (same.value, same.p, same.settings) == (pytest.approx(1), pytest.approx(2 / 24), 4)
    assert kendall([1, 2, 3, math.nan], [3, 2, 1, 7]).value == pytest.approx(-1)


def test_an_order_needs_three_that_differ() -> None:
    assert kendall([1, 2], [1, 2]).value is None
    assert spearman([1, 1, 1], [1, 2, 3]).value is None
    assert spearman([1, 2, 3], [1, 4, 9]).value == pytest.approx(1)


def test_pooled_variance() -> None:
    assert pooled([[1, 3], [5], [2, 2, 2], []]) == (pytest.approx(2 / 3), 3)
    assert pooled([[1], [2]]) == (None, 0)


def test_regret() -> None:
    oracles = [[0.8, 0.9], [0.7, 0.7], [0.6, 0.6]]
    found = estimate_regret([1, 3, 2], oracles, ["a", "b", "c"], 1, higher_is_better=True)
    assert found is not None
    assert (found.best_setting, found.best, found.chosen) == ("a", pytest.approx(0.85), 0.7)
    assert found.regret == pytest.approx(0.15)
    # pooled variance .005 / 3, of a difference of two means of two
    assert found.regret_sd == pytest.approx(math.sqrt(0.005 / 3))
    assert found.random_regret == pytest.approx(0.85 - (0.85 + 0.7 + 0.6) / 3)
    assert found.spearman.value == pytest.approx(-0.5)
    best = estimate_regret([3, 1, 2], oracles, ["a", "b", "c"], 0, higher_is_better=True)
    assert best is not None
    assert (best.regret, best.regret_sd) == (0, 0)


def test_the_sd_of_a_regret_is_of_both_arms() -> None:
    oracles = [[0.9, 0.8], [0.5, 0.6, 0.7]]
    found = estimate_regret([1, 2], oracles, ["a", "b"], 1, higher_is_better=True)
    assert found is not None
    # sums of squares .005 and .02 over df 3; of a mean of two less one of three
    assert found.regret_sd == pytest.approx(math.sqrt(0.025 / 3 * (1 / 2 + 1 / 3)))


def test_regret_of_a_risk_and_of_what_was_not_measured() -> None:
    found = estimate_regret([1, 2], [[0.2], [0.1]], ["a", "b"], 0, higher_is_better=False)
    assert found is not None
    assert (found.chosen, found.best, found.best_setting) == (0.2, 0.1, "b")
    assert found.regret == pytest.approx(0.1)
    assert found.regret_sd is None
    assert estimate_regret([1, 2], [[], [0.1]], ["a", "b"], 0, higher_is_better=True) is None
    partly = estimate_regret([1, 2], [[], [0.1]], ["a", "b"], 1, higher_is_better=True)
    assert partly is not None
    assert (partly.regret, partly.random_regret) == (0, 0)
