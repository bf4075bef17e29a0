"""Large tables: what is sampled says so, and tells what the whole table would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jessl.zoo import trees as trees_module
from jessl.zoo.analysis import analyse
from jessl.zoo.controlled import controlled_effects, design_choices, groups, keys
from jessl.zoo.ols import ols
from jessl.zoo.resample import MOST_ROWS, correlated
from jessl.zoo.table import Models, read_table


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Models:
    """4,000 models whose usability falls by 2 points per ln of epochs."""
    rng, n = np.random.default_rng(0), 4_000
    frame = pd.DataFrame({"model": [f"m{i}" for i in range(n)]})
    frame["objective"] = rng.choice(["simclr", "byol", "dino"], n)
    frame["epochs"] = rng.choice([100, 200, 400], n)
    frame["batch_size"] = rng.integers(1, 1600, n)
    frame["usability"] = 30 - 2 * np.log(frame["epochs"]) + rng.normal(size=n)
    frame["probe_gen"], frame["enc_gen"] = rng.uniform(2, 9, n), rng.normal(size=n)
    frame["train_test"] = frame[["usability", "probe_gen", "enc_gen"]].sum(axis=1)
    frame["train-nperclass-3_test"] = 20 + frame["train_test"]
    path = tmp_path_factory.mktemp("large") / "table.csv"
    frame.to_csv(path, index=False)
    return read_table(path)


def test_sections_of_a_large_table_end_and_say_what_is_sampled(large):
    names = ["ranking", "components", "few_shot", "controlled"]
    found = analyse(large, sections=names)["sections"]
    for name in names[1:]:
        assert "sample" in " ".join(found[name]["notes"]), name
    small = replace(large, frame=large.frame.iloc[:100])
    for name, section in analyse(small, sections=names)["sections"].items():
        assert "sample" not in " ".join(section["notes"]), name


def test_intervals_of_a_sample_are_those_of_all_rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=20 * MOST_ROWS)
    y = x + rng.normal(size=len(x))
    found = correlated(x, y, 0)
    assert found["kendall"] == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found["kendall_low"] < found["kendall"] < found["kendall_high"]
    # of a normal pair with correlation r, Kendall's tau is 2 asin(r) / pi, here .5
    assert found["kendall_low"] < 0.5 < found["kendall_high"]
    width = found["kendall_high"] - found["kendall_low"]
    again = [
        stats.kendalltau(x[k::20], y[k::20]).statistic for k in range(20)
    ]  # twenty tables of a twentieth of the rows
    expected = 2 * 1.96 * np.std(again, ddof=1) / np.sqrt(20)
    assert width == pytest.approx(expected, rel=0.4)


def test_groups_of_a_large_table_are_sampled_whole(large):
    (choice,) = [c for c in design_choices(large) if c.name == "epochs"]
    found = groups(large, choice)
    assert MOST_ROWS <= len(found) < 2 * MOST_ROWS
    held = keys(large.frame, ("objective", "batch_size"))
    for number, members in found.groupby(found):
        alike = held[held == held[members.index[0]]].index
        assert set(alike) == set(members.index), number
    (row,) = [
        r
        for r in controlled_effects(large)
        if (r["choice"], r["outcome"]) == ("epochs", "usability")
    ]
    assert row["low"] < -2 < row["high"] < 0


def test_a_single_group_of_very_many_is_sampled(large):
    alone = replace(large, frame=large.frame.drop(columns=["batch_size", "objective"]))
    alone = replace(alone, choices=("epochs",))
    (choice,) = design_choices(alone)
    assert len(groups(alone, choice)) == MOST_ROWS


def test_constants_of_groups_are_those_of_a_design():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 9, 60)
    columns = {"a": rng.normal(size=60), "b": rng.normal(size=60), "c": labels * 2.0}
    y = rng.normal(size=60) + labels + columns["a"]
    constants = {f"g{k}": (labels == k).astype(float) for k in range(9)}
    long, short = ols(constants | columns, y), ols(columns, y, labels)
    assert short.dropped == long.dropped == ("c",)
    assert (short.freedom, short.absorbed) == (long.freedom, 9)
    for name in ("a", "b"):
        told = long.of(name)
        assert told is not None
        assert short.of(name) == pytest.approx(told)
    assert short.why_not("c") == long.why_not("c") != ""


def test_trees_of_a_large_table_are_sampled(large, monkeypatch):
    monkeypatch.setattr(trees_module, "MOST_MODELS", 500)
    some, notes = trees_module.sampled(large, 0)
    assert len(some.frame) == 500
    assert notes == ["A seeded sample of 500 of 4000 models."]
    assert trees_module.sampled(some, 0) == (some, [])
