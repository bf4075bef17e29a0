"""Models that differ in one design choice: groups, effects, and the published figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jessl.zoo import controlled as module
from jessl.zoo.controlled import (
    FOLLOWS,
    checkpoints,
    controlled,
    controlled_effects,
    design_choices,
    groups,
    held,
)
from jessl.zoo.ols import ols
from jessl.zoo.table import Models, read_table


@pytest.fixture(scope="module")
def effects(published: Models) -> dict[tuple[str, str, str], dict]:
    rows = controlled_effects(published)
    told = {(r["choice"], r["level"], r["outcome"]): r for r in rows}
    assert len(told) == len(rows)
    return told


def table(frame: pd.DataFrame, folder: Path) -> Models:
    frame.to_csv(folder / "models.csv", index_label="model")
    return read_table(folder / "models.csv")


def made(seed: int, slope: float = -3.0) -> pd.DataFrame:
    """12 objectives, each trained for 3 lengths and with 2 heads; an offset an objective."""
    rng = np.random.default_rng(seed)
    rows = [
        {"objective": f"o{o}", "epochs": epochs, "projection2_arch": head, "offset": offset}
        for o, offset in enumerate(rng.uniform(10, 60, 12))
        for epochs in (100, 200, 800)
        for head in ("identity", "mlp")
    ]
    frame = pd.DataFrame(rows)
    frame["train_test"] = (
        frame.pop("offset")
        + slope * np.log(frame["epochs"])
        - 5.0 * (frame["projection2_arch"] == "mlp")
        + rng.normal(0, 1, len(frame))
        + 25
    )
    frame.index = [f"m{i}" for i in range(len(frame))]
    return frame


def only(rows: list[dict], **wanted: str) -> dict:
    found = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_a_known_effect_is_found_within_groups(tmp_path: Path) -> None:
    models = table(made(0), tmp_path)
    row = only(controlled_effects(models), choice="epochs")
    assert (row["n_models"], row["n_groups"]) == (72, 24)
    assert row["low"] < -3 < row["high"]
    assert abs(row["effect"] + 3) < 0.5
    assert row["p"] < 1e-6
    assert row["p_permuted"] == 1 / 2000
    head = only(controlled_effects(models), choice="projection2_arch")
    assert (head["level"], head["reference"], head["n_groups"]) == ("mlp", "identity", 36)
    assert head["low"] < -5 < head["high"]


def test_the_interval_covers_as_often_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DRAWS", 1)
    runs = 60
    covered = below = 0
    for seed in range(runs):
        row = only(controlled_effects(table(made(seed, 0.0), tmp_path)), choice="epochs")
        covered += row["low"] < 0 < row["high"]
        below += row["p"] < 0.05
    assert covered == runs - below
    assert 0.88 <= covered / runs <= 1 - 1 / runs


def test_no_effect_has_a_permuted_p_that_is_spread_out(tmp_path: Path) -> None:
    small = [
        only(controlled_effects(table(made(seed, 0.0), tmp_path)), choice="epochs")["p_permuted"]
        for seed in range(20)
    ]
    assert min(small) < 0.3
    assert max(small) > 0.6
    assert sum(p < 0.05 for p in small) <= 4


def test_a_model_counts_once_even_where_two_columns_vary(tmp_path: Path) -> None:
    frame = made(0)
    frame["projection1_arch"] = frame["projection2_arch"]
    frame["projection_same"] = True
    models = table(frame, tmp_path)
    choice = next(c for c in design_choices(models) if c.name == "projection2_arch")
    assert set(choice.columns) == {"projection2_arch", "projection1_arch", "projection_same"}
    numbers = groups(models, choice)
    assert numbers.index.is_unique
    row = only(controlled_effects(models), choice="projection2_arch")
    assert row["n_models"] == 72 == len(numbers)


def test_partners_that_differ_in_anything_else_are_none(tmp_path: Path) -> None:
    frame = made(0).assign(learning_rate=np.arange(72) / 100)
    models = table(frame, tmp_path)
    assert all(not len(groups(models, c)) for c in design_choices(models))
    assert controlled_effects(models) == []


def test_missing_equals_missing_and_nothing_else(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "epochs": [100, 200, 100, 200],
            "weight_decay": [np.nan, np.nan, 0.1, np.nan],
            "train_test": [30.0, 29.0, 31.0, 28.0],
        },
        index=list("abcd"),
    )
    models = table(frame, tmp_path)
    choice = next(c for c in design_choices(models) if c.name == "epochs")
    assert set(groups(models, choice).index) == {"a", "b", "d"}


def test_what_follows_from_a_choice_is_not_held(tmp_path: Path) -> None:
    frame = made(0).assign(ssl_mode=list("ab") * 36, n_parameters=np.arange(72) + 1)
    models = table(frame, tmp_path)
    assert not set(held(models)) & set(FOLLOWS)
    assert only(controlled_effects(models), choice="epochs")["n_models"] == 72


def test_levels_that_never_meet_are_not_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"batch_size": 64 * (1 + i), "objective": level, "train_test": rng.uniform(20, 30)}
        for i in range(8)
        for level in (("a", "b") if i % 2 else ("c", "d"))
    ]
    frame = pd.DataFrame(rows, index=[f"m{i}" for i in range(16)])
    told = controlled_effects(table(frame, tmp_path))
    pairs = {
        (r["level"], r["reference"], r["n_models"]) for r in told if r["choice"] == "objective"
    }
    assert pairs == {("b", "a", 8), ("d", "c", 8)}


def test_two_models_tell_no_effect_and_why(tmp_path: Path) -> None:
    frame = pd.DataFrame({"epochs": [1, 2], "train_test": [30.0, 29.0]}, index=["a", "b"])
    row = only(controlled_effects(table(frame, tmp_path)), choice="epochs")
    assert (row["effect"], row["p"], row["p_permuted"]) == (None, None, None)
    assert row["note"] == "2 models for 2 coefficients"


@pytest.mark.parametrize(
    ("choice", "level", "outcome", "effect", "p", "n_models", "n_groups"),
    [
        ("z_dim", "", "usability", -3.8, 2.3e-4, 25, 10),
        ("z_dim", "", "probe_gen", 3.75, 1.7e-4, 25, 10),
        ("projection2_arch", "mlp", "usability", -12.9, 6.1e-3, 9, 4),
        ("projection2_arch", "linear", "usability", -9.6, 1.4e-2, 9, 4),
        ("epochs", "", "full", -1.9, 7e-6, 32, 13),
        ("epochs", "", "3shot", -2.95, 3e-5, 32, 13),
        ("epochs", "", "usability", -1.37, 2e-2, 30, 12),
        ("nviews", "", "usability", -2.36, 4e-2, 8, 4),
    ],
)
def test_the_published_table_gives_the_known_effects(
    effects: dict[tuple[str, str, str], dict],
    choice: str,
    level: str,
    outcome: str,
    effect: float,
    p: float,
    n_models: int,
    n_groups: int,
) -> None:
    row = effects[choice, level, outcome]
    digits = len(str(effect).split(".")[1])
    assert abs(row["effect"] - effect) < 0.6 * 10**-digits
    figures = 1 if f"{p:.1e}"[2] == "0" else 2
    assert float(f"{row['p']:.{figures - 1}e}") == pytest.approx(p, rel=1e-9)
    assert (row["n_models"], row["n_groups"]) == (n_models, n_groups)


def test_effects_within_groups_that_are_none(effects: dict[tuple[str, str, str], dict]) -> None:
    for choice in ("epochs", "nviews"):
        row = effects[choice, "", "probe_gen"]
        assert row["low"] < 0 < row["high"]
    assert abs(effects["nviews", "", "probe_gen"]["effect"]) < 0.1


def test_rows_counted_thrice_give_the_paper_s_p(published: Models) -> None:
    """The p-value 9e-12 in print comes of rows repeated for every column that varies."""
    choice = next(c for c in design_choices(published) if c.name == "projection2_arch")
    numbers = groups(published, choice)
    frame = published.frame.loc[numbers.index]
    varying = {
        g: sum(frame.loc[part.index, c].nunique() > 1 for c in choice.columns)
        for g, part in numbers.groupby(numbers)
    }
    times = numbers.map(varying).to_numpy()
    design = {f"g{g}": np.repeat((numbers == g).to_numpy(float), times) for g in varying}
    for level in ("linear", "mlp"):
        design[level] = np.repeat((frame["projection2_arch"] == level).to_numpy(float), times)
    fit = ols(design, np.repeat(frame["usability"].to_numpy(), times))
    told = fit.of("mlp")
    assert told is not None
    assert fit.n == 21
    assert told["p"] == pytest.approx(9.38e-12, rel=1e-3)


def test_component_effects_add_up(effects: dict[tuple[str, str, str], dict]) -> None:
    """On the same models the effects of the components sum to that of the error they sum to."""
    parts = [effects["batch_size", "", c] for c in ("approx", "usability", "probe_gen", "enc_gen")]
    told = [r["effect"] for r in parts if r["effect"] is not None]
    assert sum(told) == pytest.approx(effects["batch_size", "", "full"]["effect"], abs=1e-6)


def test_the_section_names_every_group(published: Models) -> None:
    found = controlled(published, 0)
    rows = found["tables"]["groups"]["rows"]
    for row in rows:
        assert len(row["models"]) == len(set(row["models"])) == row["n_models"] >= 2
    heads = [r for r in rows if r["choice"] == "projection2_arch"]
    assert sum(r["n_models"] for r in heads) == 9
    assert found == controlled(published, 0)


def test_layers_of_one_training_are_one_checkpoint(published: Models) -> None:
    numbers = checkpoints(published)
    assert numbers["dino_vitb16"] == numbers["dino_vitb16_extracts"] == numbers["dino_vitb16_last"]
    assert numbers["dino_vitb16"] != numbers["dino_vitb8"]
    assert numbers["swav_rn50"] != numbers["swav_rn50_ep400"]


def test_ols_is_least_squares_with_t_intervals() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    y = 2 + 3 * x + rng.normal(size=40)
    known = stats.linregress(x, y)
    told = ols({"1": np.ones(40), "x": x}, y).of("x")
    assert told is not None
    assert told["effect"] == pytest.approx(known.slope, rel=1e-12)
    assert told["p"] == pytest.approx(known.pvalue, rel=1e-9)
    half = stats.t.ppf(0.975, 38) * known.stderr
    assert told["high"] - told["effect"] == pytest.approx(half, rel=1e-9)


def test_ols_tells_no_number_of_what_cannot_be_told() -> None:
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(3, 30))
    y = a + b + rng.normal(size=30)
    fit = ols({"a": a, "twice a": 2 * a, "c": c, "b": b}, y)
    assert fit.dropped == ("twice a",)
    assert fit.of("twice a") is None
    assert fit.of("a") is None
    told, alone = fit.of("b"), ols({"a": a, "c": c, "b": b}, y).of("b")
    assert told == alone != None  # noqa: E711
    exact = ols({"a": a, "b": b}, a + b)
    assert "no spread" in exact.why_not("b")
    with pytest.raises(ValueError, match="at least one column"):
        ols({}, y)
    with pytest.raises(ValueError, match="'a' and values must be finite"):
        ols({"a": np.full(30, np.nan)}, y)
