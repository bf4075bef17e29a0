"""The few-shot laws find what they were made with, and are judged on models they did not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jessl.zoo.law import DECOMPOSED, IMAGES, LAWS, LawFit, fit, pairs_of, quality
from jessl.zoo.table import SETTINGS, Models, read_table
from jessl.zoo.transfer import each_out, few_shot, fitted, held_out


def made(
    folder: Path, alpha: float, share: float, *, n: int = 24, seed: int = 0, noise: float = 0.0
) -> Models:
    """A table whose errors follow the two-parameter law, full-shot ones but for N / n near 1."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"model": [f"m{i}" for i in range(n)]})
    frame["approx"] = 0.5
    frame["usability"] = rng.uniform(0, 15, n)
    frame["probe_gen"] = rng.uniform(2, 12, n)
    frame["enc_gen"] = rng.uniform(0, 4, n)
    train = frame["approx"] + frame["usability"]
    frame["train_test"] = train + frame["probe_gen"] + frame["enc_gen"]
    for setting, column in SETTINGS.items():
        if setting != "full":
            grown = (DECOMPOSED / IMAGES[setting]) ** alpha
            lost = share * train + frame["probe_gen"]
            frame[column] = frame["enc_gen"] + (1 - share) * train + lost * grown
            frame[column] = np.clip(frame[column] + noise * rng.normal(size=n), 0, 100)
    frame["objective"] = np.array(["simclr", "byol", "dino"])[np.arange(n) % 3]
    frame["family"] = np.where(np.arange(n) % 2, "vit", "resnet")
    frame["year"] = 2020 + np.arange(n) % 2
    path = folder / "made.csv"
    frame.to_csv(path, index=False)
    return read_table(path)


@settings(max_examples=12)
@given(alpha=st.floats(0.05, 0.3), share=st.floats(0, 1.2), seed=st.integers(0, 10**6))
def test_the_law_finds_alpha_and_b(tmp_path_factory, alpha, share, seed):
    models = made(tmp_path_factory.mktemp("law"), alpha, share, seed=seed)
    pairs = pairs_of(models)
    few = pairs[pairs["setting"] != "full"]
    found = fit("two parameters", few)
    predicted = found.predict(few)
    assert predicted == pytest.approx(few["error"].to_numpy(), abs=1e-3)
    if (few["error"] < 100).sum() > 40:  # clipped errors tell nothing of the parameters
        assert found.parameters["alpha"] == pytest.approx(alpha, abs=1e-4)
        assert found.parameters["B"] == pytest.approx(share, abs=1e-2)


def test_one_parameter_is_two_with_b_zero(tmp_path):
    pairs = pairs_of(made(tmp_path, 0.2, 0.0))
    one = fit("one parameter", pairs[pairs["setting"] != "full"])
    assert one.parameters == {"alpha": pytest.approx(0.2, abs=1e-6)}
    same = LawFit("two parameters", {"alpha": 0.2, "B": 0.0})
    assert one.predict(pairs) == pytest.approx(same.predict(pairs), abs=1e-3)


def test_the_standard_law_finds_its_curve():
    images = np.repeat(list(IMAGES.values()), 4).astype(float)
    pairs = pd.DataFrame({"images": images, "setting": np.repeat(list(IMAGES), 4)})
    pairs["error"] = 20 + 300 / images**0.25
    for name in ("train", "probe_gen", "enc_gen"):
        pairs[name] = 0.0
    found = fit("standard", pairs).parameters
    assert found == {
        "a": pytest.approx(20, rel=1e-3),
        "b": pytest.approx(300, rel=1e-3),
        "c": pytest.approx(0.25, rel=1e-3),
    }


def test_bounds_and_range_are_kept(tmp_path):
    # errors that grow faster than alpha = 0.5 allows, and fall, which alpha >= 0 forbids
    pairs = pairs_of(made(tmp_path, 0.2, 0.5))
    ratio = DECOMPOSED / pairs["images"]
    fast = pairs.assign(error=(pairs["enc_gen"] + 0.01 * ratio).clip(upper=100))
    found = fit("one parameter", fast)
    assert 0 <= found.parameters["alpha"] <= 0.5
    assert found.predict(fast).max() <= 100
    falling = fit("two parameters", pairs.assign(error=30 - 2 * np.log(ratio)))
    assert falling.parameters["alpha"] >= 0
    assert falling.parameters["B"] >= 0


def test_quality_is_of_squares():
    told = quality(np.array([10.0, 20.0]), np.array([11.0, 19.0]))
    assert told == {"pairs": 2, "rmse": 1.0, "r2": pytest.approx(1 - 1 / 25)}
    assert np.isnan(quality(np.array([5.0]), np.array([5.0]))["r2"])
    assert np.isnan(quality(np.empty(0), np.empty(0))["rmse"])


def test_held_out_models_are_not_fitted_on(tmp_path):
    models = made(tmp_path, 0.15, 0.5, n=40, noise=0.5)
    truth = {(r["kind"], r["held_out"], r["law"]): r for r in held_out(models)}
    changed = models.frame.copy()
    vits = changed["family"] == "vit"
    for column in models.settings.values():
        changed.loc[vits, column] = changed.loc[~vits, column].to_numpy()[: vits.sum()]
    other = Models(
        changed,
        models.components,
        models.settings,
        models.choices,
        models.statistics,
        models.metadata,
        models.source,
    )
    pairs = pairs_of(models)
    without = pairs[pairs["model"].isin(changed.index[~vits])]
    for law in LAWS:
        vit = pairs[pairs["model"].isin(changed.index[vits])]
        expected = quality(vit["error"].to_numpy(), fit(law, without).predict(vit))
        assert truth["family", "vit", law]["r2"] == pytest.approx(expected["r2"])
        assert truth["family", "vit", law]["fitted_on"] == 20
    spoilt = {(r["kind"], r["held_out"], r["law"]): r for r in held_out(other)}
    assert spoilt["family", "vit", "standard"] != truth["family", "vit", "standard"]


def test_each_kind_is_left_out_in_turn(tmp_path):
    models = made(tmp_path, 0.15, 0.5, n=40, noise=1.0)
    rows = {(r["left_out"], r["law"]): r for r in each_out(models, seed=1)}
    for (left_out, _), row in rows.items():
        assert row["pairs"] == 5 * 40
        assert row["pairs_few"] == 4 * 40
        assert row["models"] == 40
        assert row["folds"] == {"each objective": 3, "each year": 2, "each family": 2}.get(
            left_out, 0 if left_out.startswith("nothing") else 10
        )
    for law in LAWS:
        same = rows["nothing: fitted on the same models (flattering)", law]
        for left_out in ("each objective", "each year", "random folds of models (flattering)"):
            assert rows[left_out, law]["rmse"] > same["rmse"]


def test_intervals_hold_the_truth_and_shrink(tmp_path):
    widths = []
    for n in (12, 60):
        parameters, _ = fitted(made(tmp_path, 0.15, 0.5, n=n, noise=1.0), seed=0)
        told = {r["parameter"]: r for r in parameters if r["law"] == "two parameters"}
        assert told["alpha"]["low"] < 0.15 < told["alpha"]["high"]
        assert told["B"]["low"] < 0.5 < told["B"]["high"]
        widths.append(told["alpha"]["high"] - told["alpha"]["low"])
    assert widths[1] < 0.7 * widths[0]


def test_tables_with_too_little_say_so(tmp_path):
    models = made(tmp_path, 0.2, 0.5)
    few = models.frame.drop(columns=list(models.settings.values())[1:])
    few.to_csv(tmp_path / "full.csv")
    told = few_shot(read_table(tmp_path / "full.csv"))
    assert told["tables"] == {}
    assert "two settings" in told["notes"][0]
    models.frame.drop(columns="probe_gen").to_csv(tmp_path / "without.csv")
    assert "probe_gen" in few_shot(read_table(tmp_path / "without.csv"))["notes"][0]
    two = models.frame.drop(columns=list(models.settings.values())[2:])
    two.to_csv(tmp_path / "two.csv")
    laws = {r["law"] for r in few_shot(read_table(tmp_path / "two.csv"))["tables"]["fit"]["rows"]}
    assert laws == {"two parameters", "one parameter"}
    with pytest.raises(ValueError, match="needs errors in 3 settings"):
        fit("standard", pairs_of(read_table(tmp_path / "two.csv")))
    with pytest.raises(ValueError, match="law: expected one of"):
        fit("cubic", pairs_of(models))


def test_without_full_shot_errors_the_components_stand_in(tmp_path):
    models = made(tmp_path, 0.2, 0.5)
    models.frame.drop(columns="train_test").to_csv(tmp_path / "parts.csv")
    pairs = pairs_of(read_table(tmp_path / "parts.csv"))
    found = fit("two parameters", pairs).parameters
    assert found == {"alpha": pytest.approx(0.2, abs=1e-5), "B": pytest.approx(0.5, abs=1e-3)}
