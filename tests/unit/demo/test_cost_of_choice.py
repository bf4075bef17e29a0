"""The sentence on what a choice cost: against the best and against chance, in seed deviations."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pandas as pd
import pytest

from jessl import select
from jessl.demo import cost_of_choice
from jessl.selection.result import Group


def _group(folder: Path, table: dict[float, tuple[float, list[float | None]]]) -> Group:
    """What `select` makes of value -> (RankMe, accuracies by seed)."""
    rows = [
        {
            "run": f"m-p{value:g}-s{seed}",
            "method": "vicreg",
            "seed": seed,
            "objective_options.cov": value,
            "rankme_projector": rank + 0.01 * seed,
            "accuracy_logistic": accuracy,
        }
        for value, (rank, accuracies) in table.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    pd.DataFrame(rows).to_csv(folder / "t.csv", index=False)
    return select(folder / "t.csv").groups[0]


def test_a_good_choice(tmp_path: Path) -> None:
    group = _group(tmp_path, {1.0: (5, [0.5, 0.52]), 2.0: (9, [0.7, 0.72])})
    cost = group.choices[0].regret
    assert cost is not None
    assert (cost.regret, cost.random_regret) == (0, pytest.approx(0.1))
    sds = [s.oracle_sd for s in group.settings if s.oracle_sd is not None]
    assert math.sqrt(statistics.fmean(s * s for s in sds)) == pytest.approx(0.01414, abs=1e-5)
    text = cost_of_choice(group)
    assert text.startswith("vicreg: RankMe chose cov 2 (accuracy 0.710)")
    assert "none of the configurations is better" in text
    assert "10.0 points (7.1 seed sd) more than a random choice" in text
    assert text.endswith("a difference")


def test_a_bad_choice_is_reported_as_one(tmp_path: Path) -> None:
    text = cost_of_choice(_group(tmp_path, {1.0: (9, [0.5, 0.52]), 2.0: (5, [0.7, 0.72])}))
    assert "chose cov 1 " in text
    assert "20.0 points (14.1 seed sd) below the best, cov 2 (0.710): a difference" in text
    assert "10.0 points (7.1 seed sd) less than a random choice" in text


def test_within_two_deviations_there_is_no_difference(tmp_path: Path) -> None:
    text = cost_of_choice(_group(tmp_path, {1.0: (9, [0.70, 0.74]), 2.0: (5, [0.71, 0.75])}))
    assert "1.0 points (0.4 seed sd) below the best, cov 2 (0.730): no difference" in text
    assert text.endswith("no difference")


def test_without_labels_only_the_choice_is_reported(tmp_path: Path) -> None:
    text = cost_of_choice(_group(tmp_path, {1.0: (9, [None, None]), 2.0: (5, [None, None])}))
    assert text == "vicreg: RankMe chose cov 1; its accuracy is unknown"


def test_one_seed_shows_no_difference(tmp_path: Path) -> None:
    text = cost_of_choice(_group(tmp_path, {1.0: (9, [0.5]), 2.0: (5, [0.7])}))
    assert "the best is cov 2 (0.700)" in text
    assert "no difference can be shown" in text


def test_equal_seeds_do_not_divide_by_zero(tmp_path: Path) -> None:
    text = cost_of_choice(_group(tmp_path, {1.0: (9, [0.5, 0.5]), 2.0: (5, [0.7, 0.7])}))
    assert "20.0 points below the best" in text
