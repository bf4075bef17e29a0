"""The rule from an effect and its interval to an outcome, at and beside its borders."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.claims.decision import (
    CONTRADICTED,
    HOLDS,
    MORE,
    NOT_LESS,
    NOT_MEASURED,
    SAME,
    UNDECIDED,
    ClaimPart,
    combine,
    decide,
    detectable,
)
from jessl.claims.intervals import over_groups, over_repetitions, over_seeds_and_images


@pytest.mark.parametrize(
    ("rule", "effect", "low", "high", "outcome"),
    [
        (MORE, 3.0, 2.0, 4.0, HOLDS),
        # exactly the smallest effect of interest, and a hair below
        (MORE, 1.0, 0.1, 1.9, HOLDS),
        (MORE, 0.999, 0.1, 1.9, UNDECIDED),
        (MORE, 0.5, 0.2, 0.8, CONTRADICTED),
        (MORE, 0.5, 0.2, 1.0, UNDECIDED),
        (MORE, 2.0, 0.0, 4.0, UNDECIDED),
        (MORE, -3.0, -4.0, -2.0, CONTRADICTED),
        (NOT_LESS, -0.2, -0.9, 0.5, HOLDS),
        (NOT_LESS, -0.2, -1.0, 0.6, UNDECIDED),
        (NOT_LESS, -1.0, -1.9, -0.1, CONTRADICTED),
        (NOT_LESS, -0.9, -1.8, 0.0, UNDECIDED),
        (NOT_LESS, 5.0, 4.0, 6.0, HOLDS),
        (SAME, 0.1, -0.5, 0.7, HOLDS),
        (SAME, 0.1, -1.0, 1.2, UNDECIDED),
        (SAME, -1.5, -2.0, -0.1, CONTRADICTED),
        (SAME, 0.5, 0.2, 1.4, UNDECIDED),
        (MORE, float("nan"), 0.0, 1.0, UNDECIDED),
    ],
)
def test_known_answers(rule: str, effect: float, low: float, high: float, outcome: str) -> None:
    assert decide(effect, low, high, 1.0, rule) == outcome


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="did you mean 'more'"):
        decide(1, 0, 2, 1, "mor")
    with pytest.raises(ValueError, match="smallest: expected a finite number above 0, got 0"):
        decide(1, 0, 2, 0, MORE)


def _part(low: float, high: float, rule: str | None = MORE) -> ClaimPart:
    return ClaimPart("a minus b", (low + high) / 2, low, high, 1.0, rule)


def test_parts_together() -> None:
    holds, against, open_ = _part(2, 4), _part(-1, 0), _part(-1, 3)
    reported = _part(-5, -4, None)
    assert combine([holds, holds, reported]) == HOLDS
    assert combine([holds, open_]) == UNDECIDED
    assert combine([holds, against, open_]) == CONTRADICTED
    assert combine([reported]) == NOT_MEASURED
    assert ClaimPart.from_json(holds.as_json()) == holds


def test_a_null_world_holds_rarely_and_an_effect_of_interest_often() -> None:
    rng = np.random.default_rng(0)
    outcomes: dict[float, list[str]] = {0.0: [], 5.0: []}
    for effect, some in outcomes.items():
        for _ in range(200):
            # seeds differ by a point, images by what they are; paired by image
            hard = rng.random(400)
            chance = 0.5 + effect / 100 + rng.normal(0, 0.01, (3, 1))
            first = hard < chance
            second = hard < 0.5 + rng.normal(0, 0.01, (3, 1))
            estimate = [100 * x for x in over_seeds_and_images(first, second)]
            some.append(decide(*estimate, 2.0, MORE))
    assert outcomes[0.0].count(HOLDS) <= 5
    assert outcomes[5.0].count(HOLDS) >= 140
    assert outcomes[5.0].count(CONTRADICTED) <= 5


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        image = rng.normal(0, 0.3, 100)
        seed = rng.normal(0, 0.02, (3, 1))
        first = 0.7 + image + seed + rng.normal(0, 0.1, (3, 100))
        _, low, high = over_seeds_and_images(first, np.full(100, 0.5))
        inside.append(low <= 0.2 <= high)
    assert np.mean(inside) >= 0.93


def test_repetitions_and_groups() -> None:
    effect, low, high = over_repetitions([1.0, 1.5, 1.4])
    assert effect == pytest.approx(1.3)
    # t with two degrees of freedom: 4.3027
    assert high - effect == pytest.approx(
        4.30265 * np.std([1, 1.5, 1.4], ddof=1) / 3**0.5, rel=1e-5
    )
    assert low < effect
    with pytest.raises(ValueError, match="at least 2, got 1"):
        over_repetitions([1.0])
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 50)
    # four groups without a spread within: no narrower for their 50 rows each
    mean, low, high = over_groups(lambda rows: float(values[rows].mean()), list(values))
    assert mean == 1.5
    assert (low, high) == (0.5, 2.5)
    assert detectable(-1.96, 1.96) == pytest.approx(2.8016, abs=1e-3)
