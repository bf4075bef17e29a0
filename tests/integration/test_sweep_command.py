"""`jessl sweep` from TOML to table: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jessl.cli.main import main as cli
from jessl.recipes.studies import NAMES, named
from jessl.runs import Run
from jessl.sweeps.plan import plan_sweep
from jessl.zoo.table import read_table

SCORES = ("rankme/projector", "nesum/backbone", "alignment/projector", "rankme/projector.1")

TOML = """
[base]
data = "{data}"
objective = "vicreg"
encoder = "smallconv:4"
size = 8
epochs = 2
batch_size = 24
holdout = 0
device = "cpu"

[space]
"objective_options.cov" = [0.1, 10.0]
lr = [0.001, {last}]

[study]
sampler = "each"
seeds = 2
test = "{data}"
scores = ["nesum/backbone", "alignment/projector", "rankme/projector.1"]
"""


@pytest.fixture(scope="module")
def study(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the command, whole; one value of the rate makes its runs diverge."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "s.toml").write_text(TOML.format(data=stripes, last="1e18"))
    out = folder / "study"
    code = cli(["sweep", str(folder / "s.toml"), "--out", str(out), "--decompose"])
    assert code == 0
    return out


def _json(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert cli([*args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _error(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert cli(["sweep", *args]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_every_run_is_a_folder_and_a_row(study: Path) -> None:
    told = json.loads((study / "study.json").read_text())
    # the base (cov 1, the rate left open), two weights, two rates; two seeds each
    assert told["outcomes"] == {"finished": 8, "diverged": 2}
    table = pd.read_parquet(study / "table.parquet")
    assert sorted(table["run"]) == sorted(p.name for p in (study / "runs").iterdir())
    assert len(pd.read_csv(study / "table.csv")) == len(table) == 10
    for _, row in table.iterrows():
        run = Run(study / "runs" / row["run"])
        chosen = run.resolved_config()
        assert row["lr"] == chosen.lr
        assert row["objective_options.cov"] == chosen.objective_options["cov"]
        assert row["seed"] == chosen.seed
        assert row["data_fingerprint"] == run.facts()["data_fingerprint"]
        values = {r.name: r.value for r in run.records() if r.split in ("pretrain", "test")}
        for name in (*SCORES, "risk/total"):
            here = row[name.replace("/", "_")]
            assert np.isnan(here) if name not in values else here == values[name]
        assert (row["accuracy_logistic"] > 0.5) == ("accuracy/logistic" in values)


def test_the_centre_belongs_to_every_sweep_and_is_one_row(study: Path) -> None:
    told = json.loads((study / "study.json").read_text())
    groups = {group["parameter"]: group for group in told["groups"]}
    names = {p: {run["name"] for run in group["runs"]} for p, group in groups.items()}
    centre = {"lrdefault-cov1-s0", "lrdefault-cov1-s1"}
    assert names["cov"] & names["lr"] == centre
    rows = pd.read_csv(study / "table.csv").set_index("run")
    assert rows.loc[sorted(centre), "parameter"].isna().all()
    assert rows.loc["lrdefault-cov10-s0", "parameter"] == "cov"


def test_diverged_runs_are_kept_and_never_chosen(study: Path) -> None:
    told = json.loads((study / "study.json").read_text())
    lost = {n for n, run in told["runs"].items() if run["outcome"] == "diverged"}
    assert lost == {"lr1e+18-cov1-s0", "lr1e+18-cov1-s1"}
    marks = {c["run"]: c for c in told["selection"]["ranking"]}
    assert all(marks[name]["diverged"] and not marks[name]["chosen"] for name in lost)
    assert told["chosen_run"] not in lost
    assert told["chosen_run"] in {name for name, c in marks.items() if c["chosen"]}
    assert "loss is" in told["runs"]["lr1e+18-cov1-s0"]["reason"]


def test_the_closing_check_chooses_nothing(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads((study / "study.json").read_text())
    for run in told["runs"].values():
        if run["outcome"] == "finished":
            assert set(run["test"]) >= {"accuracy/logistic", "accuracy/knn", "risk/total"}
    table = pd.read_csv(study / "table.csv")
    blind = study.parent / "blind.csv"
    table[[c for c in table if not c.startswith(("accuracy", "risk"))]].to_csv(blind, index=False)
    seen = _json(capsys, "select", str(study / "table.csv"))
    hidden = _json(capsys, "select", str(blind))
    assert seen["chosen"] == hidden["chosen"]
    assert hidden["groups"][0]["choices"][0]["verdict"] is None
    assert Path(seen["chosen"]["vicreg"]).name == told["chosen_run"]


def test_the_zoo_reads_the_table(study: Path) -> None:
    models = read_table(study / "table.csv")
    assert len(models.frame) == 10
    assert {"lr", "objective_options.cov"} <= set(models.choices)
    assert {"rankme_projector", "nesum_backbone", "alignment_projector"} <= set(models.statistics)
    assert {"seed", "data_fingerprint", "parameter"} <= set(models.metadata)
    assert {"usability", "probe_gen", "enc_gen"} <= set(models.components)


def test_without_a_decomposition_the_error_is_the_probes(study: Path, tmp_path: Path) -> None:
    table = pd.read_csv(study / "table.csv")
    table = table[[c for c in table if not c.startswith("risk_")]].copy().assign(risk_total=None)
    table.to_csv(tmp_path / "t.csv", index=False)
    models = read_table(tmp_path / "t.csv")
    assert models.components == ()
    expected = 100 * (1 - table.set_index("run")["accuracy_logistic"])
    assert np.allclose(models.error("full"), expected, equal_nan=True)
    assert any("logistic probe" in note for note in models.source["notes"])


def test_again_nothing_is_trained(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in study.glob("runs/*/records.jsonl")}
    told = _json(capsys, "sweep", str(study))
    assert "runs" not in told
    assert told["outcomes"] == {"finished": 8, "diverged": 2}
    assert before == {p: p.stat().st_mtime_ns for p in study.glob("runs/*/records.jsonl")}


def test_a_page_of_the_study(study: Path) -> None:
    page = (study / "report.html").read_text()
    assert "cov = " in page
    assert "lr = " in page


def test_it_grows_by_seeds(stripes: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "g.toml").write_text(
        TOML.format(data=stripes, last="0.002")
        .replace("seeds = 2", "seeds = 1")
        .replace('sampler = "each"', 'sampler = "tpe"\ntrials = 2')
        .replace("test =", "# test =")
        .replace("scores =", "# scores =")
    )
    out = str(tmp_path / "g")
    told = _json(capsys, "sweep", str(tmp_path / "g.toml"), "--out", out)
    assert told["outcomes"] == {"finished": 2}
    told = _json(capsys, "sweep", str(tmp_path / "g.toml"), "--out", out, "--trials", "3")
    assert told["outcomes"] == {"finished": 3}
    told = _json(capsys, "sweep", out, "--seeds", "2")
    assert told["outcomes"] == {"finished": 6}
    table = pd.read_csv(tmp_path / "g" / "table.csv")
    assert table.groupby(["lr", "objective_options.cov"])["seed"].nunique().tolist() == [2, 2, 2]


def test_mistakes_are_one_line(stripes: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "m.toml"
    text = TOML.format(data=stripes, last="0.002")
    out = ["--out", str(tmp_path / "m")]
    for old, new, wanted in (
        ("lr = [", "lrr = [", "unknown field of the space 'lrr'; did you mean 'lr'"),
        ("options.cov", "options.covv", "unknown option of vicreg 'covv'; did you mean 'cov'"),
        ("[space]", "[spaces]", "unknown table"),
        ("seeds = 2", "sedes = 2", "did you mean 'seeds'"),
        ("epochs = 2", 'epochs = "2"', "field epochs of [base] in"),
        ("lr = [0.001, 0.002]", "lr = []", "lr: expected a list of values, got an empty one"),
        ("lr = [0.001, 0.002]", "lr = [-1.0]", "lr: expected at least 0"),
        ("[base]", "[base", "is not TOML"),
        ('"each"', '"eech"', "unknown sampler 'eech'; did you mean 'each'"),
        ('"nesum/backbone"', '"nesumm"', "did you mean 'nesum'"),
    ):
        assert old in text
        file.write_text(text.replace(old, new))
        assert wanted in _error(capsys, str(file), *out), new
    assert not (tmp_path / "m").exists()
    file.write_text(text)
    assert "no study" in _error(capsys, str(tmp_path))
    assert "unknown study 'small_vicreg'; did you mean" in _error(capsys, "small_vicreg")
    assert "needs images: give --data" in _error(capsys, "small_vicreg_sweep")
    assert "seeds: expected a whole number of at least 1" in _error(
        capsys, str(file), *out, "--seeds", "0"
    )
    assert "read with --slurm only" in _error(
        capsys, str(file), *out, "--slurm-options", "nodes", "1"
    )
    line = _error(capsys, str(file), *out, "--storage", "sqlite:////no/such/dir/x.db")
    assert "no/such/dir" in line


def test_another_space_is_refused(study: Path, capsys: Any) -> None:
    file = study.parent / "s.toml"
    before = file.read_text()
    file.write_text(before.replace("[0.1, 10.0]", "[0.1, 20.0]"))
    try:
        line = _error(capsys, str(file), "--out", str(study), "--decompose")
    finally:
        file.write_text(before)
    assert "begun with another space.objective_options.cov: [0.1, 10.0], now [0.1, 20.0]" in line


@pytest.mark.parametrize("name", NAMES)
def test_studies_by_name_can_begin(name: str) -> None:
    made = plan_sweep(named(name, "digits"))
    if name.startswith("digits_sweep"):  # two methods, each with the values of its own option
        assert made.sampler == "grid"
        assert len(made.settings) == (4 if name.endswith("_quick") else 8)
        for params in made.settings:
            assert sum(value is not None for value in params.values()) == 2
        return
    assert made.sampler == "each"
    assert len(made.settings) > 10
    # the base is a value of every sweep, so that the sweeps share it
    for field, entry in made.space.items():
        assert made.settings[0][field] in entry.values
