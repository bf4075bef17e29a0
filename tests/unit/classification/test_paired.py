"""The paired difference of two accuracies: published values, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.classification.paired import paired_difference


def _rows(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    one = [True] * (both + first) + [False] * (second + neither)
    two = [True] * both + [False] * first + [True] * second + [False] * neither
    return np.array(one), np.array(two)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # no discordant pair: the interval is no point
        ((10, 0, 0, 10), (0.0, -0.2, 0.2)),
        ((0, 0, 0, 0 + 5), (0.0, -0.45, 0.45)),
    ],
)
def test_equal_predictions_have_an_interval_around_zero(
    table: tuple[int, int, int, int], expected: tuple[float, float, float]
) -> None:
    result = paired_difference(*_rows(*table))
    assert result.value == expected[0]
    assert expected[1] <= result.low < 0 < result.high <= expected[2]
    assert result.low == pytest.approx(-result.high)
    assert result.p == 1.0
    assert "cannot be distinguished" in result.text


def test_a_clear_difference_is_one_and_turns_around() -> None:
    one, two = _rows(40, 20, 2, 38)
    better, worse = paired_difference(one, two), paired_difference(two, one)
    assert better.better
    assert worse.worse
    assert (better.low, better.high) == pytest.approx((-worse.high, -worse.low))
    assert better.value == pytest.approx(0.18)
    # binomial test of 20 among 22
    assert better.p == pytest.approx(2 * (1 + 22 + 231) / 2**22)
    assert better.text.startswith("fine-tuning is better by 18.0 points than the frozen probe (+")
    assert worse.text.startswith("fine-tuning is worse by 18.0 points")
    assert worse.text.endswith(", on 100 held-out images")
    folds = paired_difference(one, two, folds=4)
    assert (folds.low, folds.folds) == (better.low, 4)
    assert folds.text.endswith(
        ", on 100 labelled images, each predicted by networks that did not see it"
    )


def test_the_interval_covers_the_difference() -> None:
    rng = np.random.default_rng(0)
    for probabilities in ((0.6, 0.1, 0.05, 0.25), (0.85, 0.1, 0.02, 0.03), (0.4, 0.2, 0.2, 0.2)):
        truth = probabilities[1] - probabilities[2]
        for n in (10, 40):
            draws = rng.multinomial(n, probabilities, size=200)
            results = [paired_difference(*_rows(*table)) for table in draws]
            covered = np.mean([r.low <= truth <= r.high for r in results])
            assert covered > 0.93
