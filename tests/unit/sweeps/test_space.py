"""What a study varies: mistakes told in one line, the settings that follow, and the runs' names."""

from __future__ import annotations

import math
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessl import Pretrain
from jessl.sweeps.space import (
    Listed,
    Range,
    configured,
    distributions,
    each,
    grid,
    key,
    named,
    read_space,
    value_in,
)

BASE = Pretrain(data="digits", epochs=3, objective_options={"inv": 10.0})


@pytest.mark.parametrize(
    ("given_space", "told"),
    [
        ({}, "space: expected at least one field with its values"),
        (None, "it is empty"),
        ([1], "it is empty"),
        ({"leaning_rate": [1.0]}, "unknown field of the space 'leaning_rate'"),
        ({"weight_decy": [0.1]}, "did you mean 'weight_decay'"),
        ({"objective_option.cov": [1]}, "did you mean 'objective_options.cov'"),
        ({"cov": [1]}, "'objective_options.cov'"),
        ({"objective_options": [{"cov": 1}]}, "unknown field of the space 'objective_options'"),
        ({"objective_options.": [1]}, "unknown field of the space"),
        ({"data": ["a", "b"]}, "data cannot be varied: runs on other images"),
        ({"labels": ["a"]}, "labels cannot be varied"),
        ({"out": ["a"]}, "out cannot be varied: every run has a folder of its own"),
        ({"resume": [True]}, "resume cannot be varied"),
        ({"seed": [1, 2]}, r"seed cannot be varied: seeds are given beside the space \(seeds\)"),
        ({"lr": 0.1}, "lr: expected a list of values or a range"),
        ({"objective": "vicreg"}, "objective: expected a list of values or a range"),
        ({"lr": {0.1, 0.2}}, "lr: expected a list of values or a range"),
        ({"lr": []}, "lr: expected a list of values, got an empty one"),
        ({"lr": ["fast"]}, r"lr: expected float \| None, got 'fast'"),
        ({"lr": [[0.1]]}, r"lr: expected float \| None, got \[0.1\]"),
        ({"lr": [True]}, "lr: expected .* got True"),
        ({"epochs": [1.5]}, r"epochs: expected int \| None, got 1.5"),
        ({"objective": [1]}, "objective: expected str, got 1"),
        ({"lr": [True]}, "lr: expected .*, got True"),
        ({"device": ["cpu", "cuda"]}, "device cannot be varied: it does not change what a run is"),
        ({"objective_options.cov": [None]}, "objective_options.cov: expected .* got None"),
        ({"lr": [0.1, math.nan]}, "lr: expected finite values, got nan"),
        ({"lr": [math.inf]}, "lr: expected finite values, got inf"),
        ({"epochs": [10**400]}, "epochs: expected finite values"),
        ({"lr": [0.1, 0.2, 0.1]}, "lr: 0.1 is listed twice"),
        ({"lr": [1, 1.0]}, "lr: 1.0 is listed twice"),
        ({"lr": [None, None]}, "lr: None is listed twice"),
        ({"lr": {}}, "lr: expected a number as low, got None"),
        ({"lr": {"low": 0.1}}, "lr: expected a number as high, got None"),
        ({"lr": {"low": 0.1, "hihg": 1}}, "'hihg'; did you mean 'high'"),
        ({"lr": {"low": "a", "high": 1}}, "lr: expected a number as low, got 'a'"),
        (
            {"lr": {"low": True, "high": 2}},
            "lr: expected a number as low, got True",
        ),
        ({"lr": {"low": 0.1, "high": math.inf}}, "lr: expected a number as high"),
        ({"lr": {"low": 0.1, "high": math.nan}}, "lr: expected a number as high"),
        ({"epochs": {"low": 1, "high": 10**400}}, "epochs: expected a number as high"),
        ({"lr": {"low": 0.1, "high": 0.1}}, "lr: expected low below high, got 0.1 and 0.1"),
        ({"lr": {"low": 1, "high": 0.1}}, "lr: expected low below high"),
        ({"lr": {"low": 0, "high": 1, "log": True}}, "lr: expected low above 0 on a log scale"),
        ({"lr": {"low": 0.1, "high": 1, "log": 1}}, "lr: expected log to be true or false, got 1"),
        (
            {"epochs": {"low": 1, "high": 9, "log": True, "step": 2}},
            "expected step above 0 and no l",
        ),
        ({"epochs": {"low": 1, "high": 9, "step": 0}}, "expected step above 0 and no log"),
        ({"epochs": {"low": 1, "high": 9, "step": -1}}, "expected step above 0 and no log"),
        (
            {"epochs": {"low": 1, "high": 9, "step": ""}},
            "expected a number as step",
        ),
        (
            {"epochs": {"low": 1, "high": 9, "step": 0.5}},
            "expected a number as step",
        ),
        ({"epochs": {"low": 1, "high": 10, "step": 2}}, "steps of 2 from 1 do not end at 10"),
        ({"lr": {"low": 0.0, "high": 1.0, "step": 2.0}}, "steps of 2.0 from 0.0 do not end at 1.0"),
        (
            {"epochs": {"low": 1.0, "high": 9}},
            "epochs: expected a number as low, got 1.0",
        ),
        (
            {"objective": {"low": 1, "high": 2}},
            "objective: expected a number as low",
        ),
        ({"encoder": {"low": 0, "high": 1}}, "encoder: expected a number as low"),
    ],
)
def test_a_mistake_is_told_in_one_line(given_space: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        read_space(given_space, BASE)
    assert "\n" not in str(caught.value)


def test_lists_and_ranges_are_read_as_given() -> None:
    found = read_space(
        {
            "lr": {"low": 1e-4, "high": 1, "log": True},
            "epochs": {"low": 2, "high": 10, "step": 4},
            "objective_options.cov": {"low": 1, "high": 5},
            "objective_options.var": {"low": 1, "high": 2, "step": 0.5},
            "objective_options.inv": {"low": 0.3, "high": 0.9, "step": 0.1},
            "weight_decay": (None, 0, 0.1),
            "objective": ["vicreg", "simclr"],
            "objective_options.learnable": ["yes", "no"],
        },
        BASE,
    )
    assert found["lr"] == Range(1e-4, 1, True, None, False)
    assert found["epochs"] == Range(2, 10, False, 4, True)
    assert found["objective_options.cov"] == Range(1, 5, False, None, True)
    assert found["objective_options.var"] == Range(1, 2, False, 0.5, False)
    assert found["weight_decay"] == Listed((None, 0, 0.1))
    assert found["objective_options.learnable"] == Listed(("yes", "no"))
    as_optuna = distributions(found, [])  # a warning of Optuna would be an error
    assert (as_optuna["epochs"].low, as_optuna["epochs"].high, as_optuna["epochs"].step) == (
        2,
        10,
        4,
    )
    assert as_optuna["objective_options.var"].step == 0.5
    assert as_optuna["lr"].log


def test_a_grid_has_the_last_field_fastest() -> None:
    space = read_space({"lr": [0.2, 0.1], "epochs": [1, 2, 3]}, BASE)
    assert [(s["lr"], s["epochs"]) for s in grid(space)] == [
        (0.2, 1),
        (0.2, 2),
        (0.2, 3),
        (0.1, 1),
        (0.1, 2),
        (0.1, 3),
    ]
    assert list(grid(space)[0]) == ["lr", "epochs"]


@pytest.mark.parametrize("sampler", [grid, lambda s: each(s, BASE)])
def test_a_range_cannot_be_listed(sampler: Any) -> None:
    with pytest.raises(ValueError, match="lr is a range: list its values, or use random or tpe"):
        sampler(read_space({"epochs": [1], "lr": {"low": 0.1, "high": 1}}, BASE))


def test_one_at_a_time_has_the_base_once_and_first() -> None:
    space = read_space({"epochs": [1, 3, 5], "objective_options.inv": [10, 25], "lr": [0.1]}, BASE)
    found = each(space, BASE)
    centre = {"epochs": 3, "objective_options.inv": 10.0, "lr": None}
    assert found == [
        centre,
        {**centre, "epochs": 1},
        {**centre, "epochs": 5},
        {**centre, "objective_options.inv": 25},
        {**centre, "lr": 0.1},
    ]
    assert len({key(s) for s in found}) == len(found)


def test_an_option_that_the_base_leaves_out_has_its_methods_default() -> None:
    from jessl.objectives import CONFIGS

    default = CONFIGS["vicreg"]().cov
    assert value_in(BASE, "objective_options.cov") == default
    space = read_space({"objective_options.cov": [default, default + 1]}, BASE)
    assert len(each(space, BASE)) == 2
    assert value_in(BASE, "view_options.flip") is None
    left = each(read_space({"view_options.flip": [0.0]}, BASE), BASE)
    assert left == [{"view_options.flip": None}, {"view_options.flip": 0.0}]
    assert "flip" not in configured(BASE, left[0], 0, "x").view_options
    assert configured(BASE, left[1], 0, "x").view_options == {"flip": 0.0}


def test_a_setting_goes_into_the_configuration_and_the_base_stays() -> None:
    found = configured(
        BASE, {"lr": 0.5, "objective_options.cov": 3, "objective_options.inv": None}, 7, "runs/a"
    )
    assert (found.lr, found.seed, found.out, found.resume) == (0.5, 7, "runs/a", True)
    assert found.objective_options == {"cov": 3}
    assert BASE.objective_options == {"inv": 10.0}
    assert found.epochs == 3


def test_the_values_of_settings_are_in_the_distributions() -> None:
    space = read_space({"epochs": [1, 2]}, BASE)
    assert distributions(space, each(space, BASE))["epochs"].choices == (1, 2, 3)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 0}, {"a": -0.0}),
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1}),
        ({"a": 10**20}, {"a": 1e20}),
    ],
)
def test_equal_settings_have_one_key(one: Any, two: Any) -> None:
    assert key(one) == key(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {"a": "default"}),
        ({"a": None}, {"a": "None"}),
        ({"a": False}, {"a": "False"}),
        ({"a": 0.1}, {"a": math.nextafter(0.1, 1)}),
        ({"a": "x-b1", "b": 2}, {"a": "x", "b": "1-b2"}),
        ({"a": "ä"}, {"a": "ö"}),
        ({"a": "x/y"}, {"a": "x_y"}),
        ({"a": "x" * 200 + "1"}, {"a": "x" * 200 + "2"}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
    ],
)
def test_other_settings_have_another_key_and_another_folder(one: Any, two: Any) -> None:
    assert key(one) != key(two)
    assert named(one, 0) != named(two, 0)


def test_a_grid_over_methods_gives_each_method_its_own_options() -> None:
    space = read_space(
        {
            "objective": ["vicreg", "simclr"],
            "objective_options.cov": [1.0, 2.0],
            "objective_options.temperature": [0.1, 0.2],
            "lr": [0.001],
        },
        BASE,
    )
    settings = grid(space)
    assert [named(params, 0) for params in settings] == [
        "vicreg-lr0.001-cov1-s0",
        "vicreg-lr0.001-cov2-s0",
        "simclr-lr0.001-temperature0.1-s0",
        "simclr-lr0.001-temperature0.2-s0",
    ]
    base = Pretrain(data="digits")
    assert configured(base, settings[0], 0, "out").objective_options == {"cov": 1.0}
    assert configured(base, settings[2], 0, "out").objective_options == {"temperature": 0.1}
    # an option that no method has stays, and is refused by name when the study begins
    unknown = read_space({"objective": ["vicreg", "simclr"], "objective_options.x": [1]}, BASE)
    assert [params["objective_options.x"] for params in grid(unknown)] == [1, 1]


def test_names_are_short_and_readable_where_that_is_enough() -> None:
    assert named({"objective_options.cov": 4, "lr": 0.001}, 0) == "lr0.001-cov4-s0"
    assert named({"lr": 0.001, "objective_options.cov": 4}, 0) == "lr0.001-cov4-s0"
    assert named({"objective_options.inv": None, "objective": "vicreg"}, 12) == (
        "objectivevicreg-invdefault-s12"
    )


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.sampled_from(["1", "default", "True", "a-b", "../..", "x" * 90, "2048-2048", "\x00"])
)
_FIELDS = st.lists(
    st.sampled_from(["lr", "epochs", "objective_options.cov", "view_options.flip"]),
    min_size=1,
    unique=True,
)


@given(st.data())
def test_any_two_settings_of_a_study_have_folders_of_their_own(data: st.DataObject) -> None:
    fields = data.draw(_FIELDS)
    one, two = ({f: data.draw(_VALUES) for f in fields} for _ in range(2))
    seeds = [data.draw(st.integers(0, 2**32)) for _ in range(2)]
    names = [named(p, s) for p, s in zip((one, two), seeds, strict=True)]
    same = (key(one), seeds[0]) == (key(two), seeds[1])
    if not same:
        assert names[0] != names[1]
    elif one == two:
        assert names[0] == names[1] == named(dict(reversed(two.items())), seeds[1])
    for name in names:
        assert 0 < len(name) <= 100
        assert set(name) <= set(string.ascii_letters + string.digits + "-_.+")
        assert name[0].isalpha()


@given(st.permutations(["lr", "epochs", "objective_options.cov", "view_options.flip"]))
def test_the_order_of_fields_changes_neither_key_nor_name(order: list[str]) -> None:
    values = {"lr": 0.1, "epochs": 2, "objective_options.cov": 4.0, "view_options.flip": None}
    shuffled = {name: values[name] for name in order}
    assert key(shuffled) == key(values)
    assert named(shuffled, 3) == named(values, 3)
