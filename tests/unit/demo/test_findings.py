"""What a study says it found: regret against the best and against chance, in seed deviations."""

from __future__ import annotations

import pytest

from jessl.demo.findings import Trial, configs, judged


def _trials(table: dict[float, tuple[float, list[float | None]]]) -> list[Trial]:
    """value -> (RankMe, accuracies by seed)."""
    return [
        Trial(f"m-p{value:g}-s{seed}", value, seed, rank + 0.01 * seed, accuracy)
        for value, (rank, accuracies) in table.items()
        for seed, accuracy in enumerate(accuracies)
    ]


def test_means_and_deviations_over_seeds() -> None:
    (one,) = configs(_trials({1.0: (10.0, [0.5, 0.7])}))
    assert one.rankme == pytest.approx(10.005)
    assert one.accuracy == pytest.approx(0.6)
    assert one.accuracy_sd == pytest.approx(0.1414, abs=1e-4)


def test_a_good_choice() -> None:
    found = judged("m", "p", _trials({1.0: (5, [0.5, 0.52]), 2.0: (9, [0.7, 0.72])}))
    assert found["chosen"] == found["best"] == 2.0
    assert found["chosen_run"] == "m-p2-s1"
    assert found["regret"] == 0
    assert found["random_regret"] == pytest.approx(0.1)
    assert found["seed_sd"] == pytest.approx(0.01414, abs=1e-5)
    assert "none of the configurations is better" in found["verdict"]
    assert "more than a random choice" in found["verdict"]
    assert found["verdict"].endswith("a difference")


def test_a_bad_choice_is_told_as_one() -> None:
    found = judged("m", "p", _trials({1.0: (9, [0.5, 0.52]), 2.0: (5, [0.7, 0.72])}))
    assert found["chosen"] == 1.0
    assert found["regret"] == pytest.approx(0.2)
    assert (
        "20.0 points (14.1 seed sd) below the best, p 2 (0.710): a difference" in found["verdict"]
    )
    assert "10.0 points (7.1 seed sd) less than a random choice" in found["verdict"]


def test_what_is_within_two_deviations_is_no_difference() -> None:
    found = judged("m", "p", _trials({1.0: (9, [0.70, 0.74]), 2.0: (5, [0.71, 0.75])}))
    assert "1.0 points (0.4 seed sd) below the best, p 2 (0.730): no difference" in found["verdict"]
    assert found["verdict"].endswith("no difference")


def test_without_labels_only_the_choice_is_told() -> None:
    found = judged("m", "p", _trials({1.0: (9, [None, None]), 2.0: (5, [None, None])}))
    assert found["chosen"] == 1.0
    assert "verdict" not in found
    assert "best" not in found


def test_one_seed_says_nothing_of_a_difference() -> None:
    found = judged("m", "p", _trials({1.0: (9, [0.5]), 2.0: (5, [0.7])}))
    assert found["seed_sd"] is None
    assert "no difference can be shown" in found["verdict"]


def test_equal_seeds_do_not_divide_by_zero() -> None:
    found = judged("m", "p", _trials({1.0: (9, [0.5, 0.5]), 2.0: (5, [0.7, 0.7])}))
    assert found["seed_sd"] == 0
    assert "20.0 points below the best" in found["verdict"]
