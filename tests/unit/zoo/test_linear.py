"""One regression over all models: known effects, the published p-values, what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jessl.zoo.linear import (
    MIN_OF_A_LEVEL,
    conditions,
    filled,
    linear,
    linear_effects,
    treatments,
)
from jessl.zoo.ols import coded
from jessl.zoo.table import Models, read_table


@pytest.fixture(scope="module")
def rows(published: Models) -> list[dict]:
    return linear_effects(published)


def table(frame: pd.DataFrame, folder: Path) -> Models:
    frame = frame.set_axis([f"m{i}" for i in range(len(frame))])
    frame.to_csv(folder / "models.csv", index_label="model")
    return read_table(folder / "models.csv")


def made(seed: int, n: int = 120) -> pd.DataFrame:
    """Longer training goes with newer years, and only epochs and the family act."""
    rng = np.random.default_rng(seed)
    year = rng.integers(2018, 2023, n)
    epochs = np.round(np.exp(rng.normal(5, 0.5, n) + 0.3 * (year - 2018))).astype(int)
    family = rng.choice(["resnet", "vit"], n, p=[0.7, 0.3])
    error = 60 - 2.0 * np.log(epochs) - 1.5 * (year - 2018) - 6.0 * (family == "vit")
    return pd.DataFrame(
        {
            "epochs": epochs,
            "z_dim": rng.choice([512, 1024, 2048], n),
            "family": family,
            "year": year,
            "train_test": error + rng.normal(0, 2, n),
        }
    )


def one(rows: list[dict], choice: str, outcome: str, level: str = "") -> dict:
    wanted = (choice, outcome, level)
    found = [r for r in rows if (r["choice"], r["outcome"], r["level"]) == wanted]
    assert len(found) == 1
    return found[0]


def test_known_effects_are_found_behind_a_confounder(tmp_path: Path) -> None:
    frame = made(0)
    rows = linear_effects(table(frame, tmp_path))
    epochs = one(rows, "epochs", "full")
    assert epochs["low"] < -2 < epochs["high"]
    assert (epochs["unit"], epochs["n_models"]) == ("points per ln", 120)
    vit = one(rows, "family", "full", "vit")
    assert (vit["reference"], vit["unit"]) == ("resnet", "points")
    assert vit["low"] < -6 < vit["high"]
    without = linear_effects(table(frame.drop(columns="year"), tmp_path))
    assert one(without, "epochs", "full")["high"] < -2  # the year's share falls to epochs


def test_intervals_cover_and_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    covered = [
        row["low"] < 0 < row["high"]
        for seed in range(60)
        for row in [one(linear_effects(table(made(seed, 60), tmp_path)), "z_dim", "full")]
    ]
    assert 0.87 <= np.mean(covered) <= 0.995


def test_a_choice_that_the_conditions_determine_is_told_as_such(tmp_path: Path) -> None:
    frame = made(0)
    frame["n_parameters"] = np.where(frame["family"] == "vit", 86_000_000, 23_000_000)
    rows = linear_effects(table(frame, tmp_path))
    row = one(rows, "n_parameters", "full")
    assert (row["effect"], row["low"], row["p"]) == (None, None, None)
    assert row["note"] == "cannot be distinguished from the other columns"
    assert one(rows, "epochs", "full")["collinear"] == ["family=vit"]
    assert one(rows, "epochs", "full")["effect"] == pytest.approx(
        one(linear_effects(table(made(0), tmp_path)), "epochs", "full")["effect"], rel=1e-9
    )


def test_models_without_a_value_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = made(0)
    frame["epochs"] = frame["epochs"].astype(float)
    frame.loc[:9, "epochs"] = np.nan
    row = one(linear_effects(table(frame, tmp_path)), "z_dim", "full")
    assert row["n_models"] == 110
    assert row["missing"] == {"epochs": 10}


def test_a_rare_level_is_left_out_of_its_own_question_only(tmp_path: Path) -> None:
    frame = made(0)
    frame.loc[: MIN_OF_A_LEVEL - 2, "family"] = "convnext"
    rows = linear_effects(table(frame, tmp_path))
    assert one(rows, "family", "full", "vit")["rare"] == ["convnext"]
    assert one(rows, "family", "full", "vit")["n_models"] == 120 - MIN_OF_A_LEVEL + 1
    assert one(rows, "epochs", "full")["n_models"] == 120


def test_conditions_leave_the_choice_out_and_swap_the_objective() -> None:
    frame = pd.DataFrame(columns=["objective", "ssl_mode", "epochs", "year", "other"])
    assert conditions(frame, "epochs") == ("ssl_mode", "year")
    assert conditions(frame, "objective") == ("epochs", "year")
    assert conditions(frame.drop(columns="ssl_mode"), "epochs") == ("objective", "year")


def test_a_student_without_a_head_of_its_own_has_the_teacher_s() -> None:
    heads = pd.DataFrame(
        {"projection1_arch": ["mlp", "mlp", None], "projection2_arch": ["linear", None, None]}
    )
    assert list(filled(heads)["projection2_arch"]) == ["linear", "mlp", "none"]


def test_codes_of_amounts_and_levels() -> None:
    assert list(coded(pd.Series([1, np.e], name="a"), log=True)) == ["ln a"]
    levels = pd.Series(list("bbac"), name="x")
    assert set(coded(levels, log=False)) == {"x=a", "x=c"}
    assert set(coded(levels, log=False, reference="c")) == {"x=a", "x=b"}
    assert list(coded(levels, log=False)["x=a"]) == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("choice", "level", "outcome", "effect", "p"),
    [
        ("family", "vit", "probe_gen", "-7.29", "9.28e-08"),  # in print: 9e-8
        ("n_parameters", "", "approx", "-0.284", "3.96e-17"),  # in print: 4e-17
        ("z_dim", "", "usability", "-4.04", "6.7e-04"),
        ("z_dim", "", "probe_gen", "3.44", "1.4e-09"),
        ("epochs", "", "probe_gen", "-1.27", "6e-04"),
        ("nviews", "", "probe_gen", "-1.34", "3.6e-02"),
        ("nviews", "", "full", "-2.0", "2e-02"),
        ("batch_size", "", "full", "-1.18", "3e-03"),
        ("n_augmentations", "", "usability", "-5.3", "4e-02"),
        ("n_augmentations", "", "full", "-6.2", "2e-03"),
        ("n_augmentations", "", "3shot", "-11.6", "2e-04"),
        ("n_parameters", "", "full", "-1.5", "6e-03"),
        ("n_parameters", "", "3shot", "-3.7", "2e-05"),
        ("train_rank", "", "usability", "-5.9", "4e-07"),
        ("train_rank", "", "probe_gen", "1.4", "4e-02"),
        ("train_rank", "", "3shot", "-9.9", "1.5e-13"),
    ],
)
def test_the_published_table_gives_the_known_effects(
    rows: list[dict], choice: str, level: str, outcome: str, effect: str, p: str
) -> None:
    row = one(rows, choice, outcome, level)
    assert f"{row['effect']:.{len(effect.split('.')[1])}f}" == effect
    assert f"{row['p']:.{len(p.split('e')[0].replace('.', '')) - 1}e}" == p


def test_choices_that_tell_nothing_in_the_published_table(rows: list[dict]) -> None:
    for choice in ("learning_rate", "weight_decay", "is_ema"):
        found = [r for r in rows if r["choice"] == choice and r["outcome"] in ("usability", "full")]
        assert found
        assert all(r["low"] < 0 < r["high"] for r in found)
    for outcome in ("full", "3shot"):
        row = one(rows, "z_dim", outcome)
        assert row["low"] < 0 < row["high"]


def test_what_the_published_rows_rest_on(published: Models, rows: list[dict]) -> None:
    vit = one(rows, "family", "probe_gen", "vit")
    assert (vit["n_models"], vit["rare"], vit["missing"]) == (164, ["convnext"], {})
    assert vit["n_checkpoints"] < vit["n_models"]
    assert one(rows, "n_parameters", "approx")["n_models"] == 146
    rank = one(rows, "train_rank", "full")
    assert (rank["n_models"], rank["missing"]) == (142, {"train_rank": 27})
    clip = [r for r in rows if r["choice"] == "objective" and r["outcome"] == "full"]
    assert clip  # CLIP alone was trained on its data, so no objective compares with it
    assert all(r["effect"] is None and r["note"] for r in clip)
    assert "other" not in treatments(published)


def test_the_section_is_plain_values(published: Models) -> None:
    found = linear(published, 0)
    assert json.loads(json.dumps(found)) == found
    assert found["tables"]["effects"]["rows"]
