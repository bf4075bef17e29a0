"""Ties that hold what they promise, and the paper's rule for plateaus."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t

from jessl.selection.candidates import RunSummary
from jessl.selection.criteria import CriterionValue, parse_criterion
from jessl.selection.grouping import Setting
from jessl.selection.ties_and_plateaus import (
    SettingComparison,
    choose_on_plateau,
    compare_settings,
    find_ties,
    tie_threshold,
)


def _settings(
    rows: Sequence[Sequence[float]],
    by: str = "rankme",
    sd: float | Sequence[float | None] | None = None,
) -> list[Setting]:
    """A setting a row, lr 1, 2, 3, ..., a seed a number; one sd of all, or one for each row."""
    text = parse_criterion(by).text
    sds = sd if isinstance(sd, Sequence) else [sd] * len(rows)
    return [
        Setting(
            f"lr={k}",
            {"lr": float(k)},
            tuple(
                RunSummary(
                    run=f"{k}-{seed}",
                    path=f"{k}-{seed}",
                    method="vicreg",
                    seed=seed,
                    fields={"lr": float(k)},
                    measured={text: CriterionValue(float(value), sds[k - 1], None, 1000, 100)},
                    diverged=None if math.isfinite(value) else "not finite",
                )
                for seed, value in enumerate(row)
            ),
        )
        for k, row in enumerate(rows, 1)
    ]


def _compared(
    rows: Sequence[Sequence[float]], by: str = "rankme", **more: object
) -> SettingComparison:
    sd = more.pop("sd", None)
    asked = {"along": None, "plateau": True, **more}
    return compare_settings(_settings(rows, by, sd), parse_criterion(by), **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("means", "seeds"), [([30, 30, 30], 3), ([30] * 10, 2), ([29, 30, 30.5, 31, 31], 3)]
)
def test_the_truly_best_is_among_the_tied(means: list[float], seeds: int) -> None:
    rng = np.random.default_rng(0)
    draws, held = 600, 0
    for _ in range(draws):
        rows = [mean * np.exp(rng.normal(0, 0.05, seeds)) for mean in means]
        held += _compared(rows).tied[int(np.argmax(means))]
    # the binomial's standard deviation at .95 is .009
    assert held / draws > 0.935


def test_ten_equal_settings_need_more_than_the_quantile_of_two() -> None:
    """What the correction is for: by t(.975) alone the best of ten would be lost too often."""
    rng = np.random.default_rng(1)
    kept = {"plain": 0, "corrected": 0}
    draws = 600
    for _ in range(draws):
        rows = rng.normal(0, 1, (10, 3))
        means, v = rows.mean(axis=1), rows.var(axis=1, ddof=1).mean() / 3
        apart = means.max() - means[0]
        kept["plain"] += bool(apart < t.ppf(0.975, 20) * math.sqrt(2 * v) or apart == 0)
        kept["corrected"] += find_ties(means, [v] * 10, 20)[1][0]
    assert kept["plain"] / draws < 0.92
    assert kept["corrected"] / draws > 0.935


def test_clearly_different_settings_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        found = _compared([mean * np.exp(rng.normal(0, 0.05, 3)) for mean in (10, 20, 40)])
        assert found.tied == (False, False, True)
        assert found.chosen == found.best == 2


def test_the_quantile() -> None:
    assert (
        tie_threshold(4, 2) == tie_threshold(4, 3) == pytest.approx(2.776445)
    )  # a table of Student's t
    assert tie_threshold(20, 11) == pytest.approx(float(t.ppf(0.995, 20)))


def test_the_noise_is_pooled_over_seeds() -> None:
    found = _compared([[1, 3], [10, 10], [7]], by="uniformity", plateau=False)
    # uniformity can be negative and is lower the better; here it is positive: logarithms
    assert found.log
    assert found.best == 0
    found = _compared([[-1, -3], [-10, -10], [-7]], by="uniformity", plateau=False)
    assert not found.log
    assert found.best == 1
    assert (found.noise, found.df) == ("seeds", 2)
    # pooled variance (2 + 0) / 2 = 1: reach 4.303 sqrt(1/2 + 1) = 5.27 holds -7, not -2
    assert found.tied == (False, True, True)
    assert found.seed_sds == (pytest.approx(math.sqrt(2)), 0, None)


def test_without_seeds_the_jackknife_is_the_noise() -> None:
    found = _compared([[30], [30.5], [32]], sd=0.2)
    assert (found.noise, found.df) == ("images", 19)
    assert found.tied == (False, False, True)
    found = _compared([[30], [30.5], [32]], sd=2.0)
    assert found.tied == (True, True, True)
    found = _compared([[30], [32], [32]])
    assert (found.noise, found.df) == ("none", None)
    assert found.tied == (False, True, True)


def test_an_unknown_sd_is_taken_for_the_largest_known() -> None:
    for sds in ([0.5, 0.5, None], [None, 0.5, 0.5], [0.5, None, None]):
        assert _compared([[30], [30.01], [30.02]], sd=sds).tied == (True, True, True)
    # reach 2.43 sqrt(.01 + .25) = 1.24 of the best, 40, and of one whose sd is taken to be .5
    utilities, variances = [37.0, 39.0, 10.0, 40.0], [math.nan, math.nan, 0.25, 0.01]
    assert find_ties(utilities, variances, 19) == (3, [False, True, False, True])
    # what diverged has no say
    assert find_ties([39, 40, math.nan], [math.nan, 0.01, 9.0], 19)[1] == [False, True, False]


def test_the_variance_between_seeds_is_divided_by_their_number() -> None:
    rows = [[-1, -3], [-4, -6], [-7, -9]]
    found = _compared(rows, by="uniformity")
    assert (found.noise, found.df, found.best) == ("seeds", 3, 2)
    # variance 2, df 3: of a mean of two 1, reach 3.182 sqrt(1 + 1) = 4.5; undivided it is 6.4
    assert found.tied == (False, True, True)


def test_alpha_is_best_near_one() -> None:
    found = _compared([[0.5], [1.1], [1.8], [0.95]], by="alpha_req", sd=0.01)
    assert found.best == found.chosen == 3
    assert not found.log
    assert found.rule == "the best value"


@pytest.mark.parametrize(
    ("tied", "best", "index", "words"),
    [
        ((0, 0, 0, 1), 3, 3, "highest"),
        ((0, 0, 1, 1), 3, 2, "first value that reaches it"),
        ((0, 1, 1, 1), 2, 1, "first value that reaches it"),
        ((1, 1, 1, 0), 1, 2, "its largest value"),
        ((1, 1, 0, 0), 0, 1, "its largest value"),
        ((0, 1, 1, 0), 1, 1, "inside"),
        ((1, 1, 1, 1), 1, 1, "nothing tells them apart"),
        ((1, 0, 1, 1), 3, 2, "first value that reaches it"),
        ((1, 0, 0, 1), 0, 0, "highest"),
    ],
)
def test_plateaus(tied: tuple[int, ...], best: int, index: int, words: str) -> None:
    found, rule = choose_on_plateau("lr", [0.1, 0.2, 0.4, 0.8], [bool(k) for k in tied], best)
    assert found == index
    assert words in rule


def test_a_plateau_is_only_for_ranks_and_can_be_refused() -> None:
    rows = [[10, 10.5], [20, 21], [30, 33], [31, 32]]
    found = _compared(rows)
    assert (found.best, found.chosen) == (2, 2)
    rows[3] = [31.5, 32.5]
    found = _compared(rows)
    assert (found.best, found.chosen) == (3, 2)
    assert "up to the largest swept" in found.rule
    assert _compared(rows, plateau=False).chosen == 3
    # a loss is lower the better, and a plateau of it says nothing
    found = _compared([[3, 3.1], [1, 1.2], [1, 1.1]], by="loss")
    assert (found.chosen, found.rule) == (2, "the best value")


def test_what_diverged_ends_the_range_that_was_swept() -> None:
    found = _compared([[10, 10.5], [30, 31], [31, 32], [math.nan, math.nan]])
    # inside: behind the plateau the training broke
    assert (found.best, found.chosen) == (2, 2)
    assert found.tied == (False, True, True, False)
    assert math.isnan(found.means[3])
    found = _compared([[math.nan], [math.nan]])
    assert (found.best, found.chosen, found.tied) == (None, None, (False, False))


def test_a_second_field_needs_along() -> None:
    settings = _settings([[10, 10.5], [20, 21], [30.5, 31], [31, 32]])
    for k, setting in enumerate(settings):
        setting.fields["wd"] = "abb"[k - 1] if k else "b"
    # two fields vary and no one of them was named
    asked = {"along": None, "plateau": True}
    found = compare_settings(settings, parse_criterion("rankme"), **asked)  # type: ignore[arg-type]
    assert (found.chosen, found.rule) == (3, "the highest value")
    # the tied, lr 3 and 4, are both of wd b
    asked["along"] = "lr"
    found = compare_settings(settings, parse_criterion("rankme"), **asked)  # type: ignore[arg-type]
    assert found.chosen == 2
    settings[2].fields["wd"] = "c"
    found = compare_settings(settings, parse_criterion("rankme"), **asked)  # type: ignore[arg-type]
    assert found.chosen == 3
    assert "differ in more than lr" in found.rule
