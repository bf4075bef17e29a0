"""Boosted trees, their SHAP values, and how far they tell models that they did not see."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jessl.zoo.table import Models, read_table
from jessl.zoo.trees import choice_columns, contributions, fit_trees, predict_trees, trees
from jessl.zoo.validation import SPLITS, _linear, folds, validation

pytest.importorskip("xgboost", reason="trees need the extra zoo (xgboost)")


@pytest.fixture(scope="module")
def r2(published: Models) -> dict[tuple[str, str, str], float]:
    kept = ("usability", "probe_gen", "enc_gen", "train_test")
    frame = published.frame.drop(columns=["approx", *list(published.settings.values())[1:]])
    models = Models(
        frame=frame,
        components=tuple(c for c in published.components if c in kept),
        settings={"full": "train_test"},
        choices=published.choices,
        statistics=published.statistics,
        metadata=published.metadata,
        source=published.source,
    )
    rows = validation(models, 0)["tables"]["r2"]["rows"]
    assert len(rows) == 4 * 2 * 4
    return {(r["model"], r["outcome"], r["split"]): r["r2"] for r in rows}


def made(folder: Path, seed: int = 0, n: int = 120) -> Models:
    """A category with one bad level and an amount act; a second amount is missing for half."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "objective": rng.choice(["a", "b", "c", "d"], n),
            "epochs": rng.choice([100, 200, 400, 800], n),
            "weight_decay": np.where(np.arange(n) % 2, rng.uniform(0, 1, n), np.nan),
            "is_ema": rng.choice([True, False], n),
            "year": rng.choice([2020, 2021, 2022], n),
        },
        index=[f"m{i}" for i in range(n)],
    )
    frame["train_test"] = (
        50
        + 8.0 * (frame["objective"] == "c")
        - 4.0 * np.log2(frame["epochs"] / 100)
        + rng.normal(0, 1, n)
    )
    frame.to_csv(folder / "models.csv", index_label="model")
    return read_table(folder / "models.csv")


def test_shap_values_sum_to_the_prediction(tmp_path: Path) -> None:
    models = made(tmp_path)
    table = choice_columns(models)
    y = models.frame["train_test"].to_numpy()
    booster = fit_trees(table, y, 0)
    told = contributions(booster, table)
    assert told.shape == (120, table.shape[1] + 1)
    assert np.abs(told.sum(axis=1) - predict_trees(booster, table)).max() < 1e-3
    assert np.corrcoef(predict_trees(booster, table), y)[0, 1] > 0.95


def test_shap_finds_the_choices_that_act_and_their_sizes(tmp_path: Path) -> None:
    found = trees(made(tmp_path), 0)
    rows = {r["choice"]: r for r in found["tables"]["shap"]["rows"]}
    assert list(rows)[:2] == ["epochs", "objective"]
    # the mean distance of 0, 4, 8, 12 from 6 is 4; of a quarter at 8 from 2 it is 3
    assert abs(rows["epochs"]["mean_abs_shap"] - 4) < 1
    assert abs(rows["objective"]["mean_abs_shap"] - 3) < 1
    assert rows["is_ema"]["mean_abs_shap"] < 0.5
    assert sum(r["share"] for r in rows.values()) == pytest.approx(1)
    assert (rows["weight_decay"]["missing"], rows["weight_decay"]["n"]) == (60, 120)


def test_columns_are_amounts_or_categories_and_gaps_stay(tmp_path: Path) -> None:
    models = made(tmp_path)
    table = choice_columns(models)
    kinds = {r["choice"]: r["kind"] for r in trees(models)["tables"]["choices"]["rows"]}
    assert kinds == {
        "objective": "category",
        "epochs": "amount",
        "weight_decay": "amount",
        "is_ema": "category",
    }
    assert table["weight_decay"].isna().sum() == 60
    assert "year" not in table.columns


def test_the_same_seed_gives_the_same_trees(tmp_path: Path) -> None:
    models = made(tmp_path)
    assert trees(models, 3) == trees(models, 3)
    assert trees(models, 3) != trees(models, 4)


def test_without_xgboost_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = made(tmp_path)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ValueError, match=r"pip install 'jessl\[zoo\]'"):
        trees(models)


def test_folds_keep_together_what_belongs_together(tmp_path: Path, published: Models) -> None:
    models = made(tmp_path)
    for split in ("objective", "year"):
        numbers = folds(models, split, 0)
        assert numbers is not None
        assert numbers.groupby(models.frame[split]).nunique().max() == 1
        assert numbers.nunique() == models.frame[split].nunique()
    whole = folds(published, "checkpoint", 0)
    assert whole is not None
    assert whole.nunique() == 10
    assert whole["dino_vitb16"] == whole["dino_vitb16_extracts"]
    drawn = folds(published, "random", 0)
    assert drawn is not None
    assert drawn.value_counts().max() - drawn.value_counts().min() <= 1
    assert not drawn.equals(folds(published, "random", 1))


def test_the_linear_model_does_not_see_what_it_is_asked(tmp_path: Path) -> None:
    frame = made(tmp_path).frame
    y, out = frame["train_test"].to_numpy(), (frame["objective"] == "c").to_numpy()
    told = _linear(frame, y, out)
    assert np.array_equal(told, _linear(frame, np.where(out, 1e6, y), out))
    assert np.abs(told - y[~out].mean()).max() < 20  # an objective that it never saw


def test_noise_is_not_told_ahead_and_a_law_is(tmp_path: Path) -> None:
    models = made(tmp_path)
    rows = validation(models, 0)["tables"]["r2"]["rows"]
    told = {(r["model"], r["split"]): r["r2"] for r in rows}
    assert set(told) == {(m, s) for m in ("trees", "linear") for s in SPLITS}
    assert told["trees", "random"] > 0.9
    assert told["linear", "random"] > 0.9
    assert told["trees", "objective"] < told["trees", "random"] - 0.1
    frame = models.frame.assign(train_test=np.random.default_rng(0).uniform(20, 60, 120))
    frame.to_csv(tmp_path / "noise.csv", index_label="model")
    rows = validation(read_table(tmp_path / "noise.csv"), 0)["tables"]["r2"]["rows"]
    assert all(r["r2"] < 0.15 for r in rows)


def test_prediction_does_not_carry_over_to_new_objectives_and_years(
    r2: dict[tuple[str, str, str], float],
) -> None:
    """Ordering of untuned trees on the published table: probe generalization alone carries over."""
    for outcome in ("usability", "probe_gen", "train_test"):
        name = "full" if outcome == "train_test" else outcome
        random, training, objective, year = (r2["trees", name, s] for s in SPLITS)
        assert random > training - 0.05
        assert min(random, training) > max(objective, year)
    assert r2["trees", "usability", "objective"] < 0.4
    assert r2["trees", "usability", "year"] < 0.4
    assert min(r2["trees", "probe_gen", s] for s in SPLITS) > 0.6
    assert max(r2["trees", "enc_gen", s] for s in SPLITS) < 0.2
    assert max(r2["trees", "enc_gen", s] for s in ("objective", "year")) < 0
    assert r2["trees", "usability", "random"] == pytest.approx(0.53, abs=0.15)
    assert r2["trees", "probe_gen", "random"] == pytest.approx(0.86, abs=0.05)


def test_shap_of_the_published_table(published: Models) -> None:
    rows = trees(published, 0)["tables"]["shap"]["rows"]
    first = {}
    for row in rows:
        first.setdefault(row["outcome"], []).append(row["choice"])
    assert set(first) == {*published.components, *published.settings}
    assert {"architecture", "family", "z_dim", "z_layer"} & set(first["probe_gen"][:2])
    assert {"architecture", "n_parameters"} & set(first["approx"][:2])
