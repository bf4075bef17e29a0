"""select: per method, width and images, settings over their seeds, with doubts told."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jessl import Embeddings, Pretrain, Run, select
from jessl.cli.main import main
from jessl.config import ResolvedPretrain
from jessl.records import Record, append
from jessl.selection import criterion_value, parse_criterion
from jessl.views.presets import preset

# what a training decides where its user left it open
DECIDED: dict[str, Any] = {
    "encoder": "smallconv",
    "size": 32,
    "batch_size": 64,
    "epochs": 10,
    "holdout": 0,
    "lr": 0.1,
    "weight_decay": 0.01,
    "warmup_epochs": 1.0,
    "channels_last": False,
    "evaluate_epochs": 1,
    "checkpoint_epochs": 1,
    "log_steps": 1,
}


def _run(
    folder: Path,
    method: str,
    rank: float,
    *,
    sd: float | None = 0.1,
    n: int = 100,
    d: int = 8,
    seed: int = 0,
    data: str = "",
    loss: float = 1.0,
    accuracy: float | None = None,
    warnings: tuple[str, ...] = (),
    finished: bool = True,
    derived: dict[str, object] | None = None,
    **config: object,
) -> Run:
    run = Run(folder)
    asked = Pretrain(data="digits", objective=method, seed=seed, **config)  # type: ignore[arg-type]
    chosen = {k: v for k, v in asked.as_json().items() if v is not None}
    resolved = ResolvedPretrain.from_json({**DECIDED, **chosen, **(derived or {})})
    run.write_config(asked, resolved, {"dim": d, "data_fingerprint": data or "images"})
    append(folder, [Record(run=run.name, name="loss", value=loss)])
    for layer, value in (("projector", rank), ("backbone", 20 - rank)) if finished else ():
        extra = {"n": n, "d": d, "warnings": list(warnings)}
        append(
            folder,
            [
                Record(
                    run=run.name, name=f"rankme/{layer}", value=value, sd=sd, split="pretrain",
                    extra=extra,
                )
            ],
        )  # fmt: skip
    if accuracy is not None:
        append(folder, [Record(run=run.name, name="accuracy/knn", value=accuracy, split="test")])
        told = Record(run=run.name, name="accuracy/logistic", value=accuracy, split="test")
        append(folder, [told])
    return run


def _study(folder: Path, values: dict[float, list[float]], **more: object) -> None:
    """Runs of simclr: a learning rate and a seed each, with the ranks given."""
    for lr, ranks in values.items():
        for seed, rank in enumerate(ranks):
            _run(folder / f"lr{lr}-{seed}", "simclr", rank, lr=lr, seed=seed, n=400, d=64, **more)  # type: ignore[arg-type]


def test_each_method_has_its_own_best(tmp_path: Path) -> None:
    for name, method, rank in (("a", "vicreg", 5.0), ("b", "vicreg", 7.0), ("c", "simclr", 3.0)):
        _run(tmp_path / name, method, rank, lr=rank)
    found = select([tmp_path], by="rankme")
    assert found.by == "rankme/projector"
    assert found.chosen == {"simclr": str(tmp_path / "c"), "vicreg": str(tmp_path / "b")}
    assert [c.run for c in found.ranking] == ["c", "b", "a"]
    assert [c.chosen for c in found.ranking] == [True, True, False]
    assert [c.setting for c in found.ranking] == ["", "lr=7", "lr=5"]
    (told,) = found.warnings
    assert "the spread between trainings is not covered" in told
    by_backbone = select([tmp_path / "a", tmp_path / "b"], by="rankme/backbone")
    assert by_backbone.chosen == {"vicreg": str(tmp_path / "a")}


def test_widths_and_images_are_never_mixed(tmp_path: Path) -> None:
    _run(tmp_path / "a", "vicreg", 5.0, d=8)
    _run(tmp_path / "b", "vicreg", 9.0, d=16)
    assert select([tmp_path]).chosen == {
        "vicreg, d 16": str(tmp_path / "b"),
        "vicreg, d 8": str(tmp_path / "a"),
    }
    _run(tmp_path / "c", "byol", 7.0, data="others", lr=3.0)
    _run(tmp_path / "d", "byol", 8.0, lr=3.0)
    found = select([tmp_path])
    assert [*found.chosen][:2] == ["byol, images images", "byol, images others"]
    forced = select([tmp_path], force=True)
    assert forced.chosen == {"all runs": str(tmp_path / "b")}
    assert "differ in method (byol, vicreg), d (16, 8), images" in forced.warnings[0]
    names = [s.name for s in forced.groups[0].settings]
    assert names[0] == "method=vicreg, d=16, images=images, lr=0.1"
    assert len(names) == 4
    alone = select([tmp_path / "a"], force=True)
    assert alone.chosen == {"vicreg": str(tmp_path / "a")}


def test_seeds_are_one_setting(tmp_path: Path) -> None:
    _study(tmp_path, {0.1: [4.0, 6.0], 0.2: [20.0, 24.0]})
    found = select(tmp_path, by="rankme")
    first, second = found.groups[0].settings
    assert (first.name, first.seeds, first.mean) == ("lr=0.2", 2, 22)
    assert first.seed_sd == pytest.approx(math.sqrt(8))
    assert first.sd == pytest.approx(0.1)
    assert (second.tied, second.chosen) == (False, False)
    choice = found.groups[0].choices[0]
    assert (choice.noise, choice.df, choice.tied) == ("seeds", 2, ("lr=0.2",))
    # the run to take is the best seed of the setting
    assert found.chosen == {"simclr": str(tmp_path / "lr0.2-1")}
    assert found.warnings == ()
    assert [c.seed for c in found.ranking] == [1, 0, 1, 0]


def test_what_computes_the_same_is_one_setting(tmp_path: Path) -> None:
    _run(tmp_path / "a", "vicreg", 5.0, workers=1, device="cpu", keep_checkpoints=0, seed=0)
    _run(tmp_path / "b", "vicreg", 6.0, workers=2, out="x", seed=1, evaluate_epochs=1)
    # an option at its default is no other setting
    _run(tmp_path / "c", "vicreg", 7.0, seed=2, objective_options={"cov": 1})
    (setting,) = select([tmp_path]).groups[0].settings
    assert (setting.seeds, setting.name) == (3, "")
    _run(tmp_path / "d", "vicreg", 8.0, objective_options={"cov": 4}, epochs=3)
    settings = select([tmp_path]).groups[0].settings
    assert settings[0].fields == {"epochs": 3, "objective_options.cov": 4}
    assert settings[1].fields == {"epochs": 10, "objective_options.cov": 1.0}
    # what follows from another field has no name: it would stand in the way of the plateau
    folder = tmp_path / "derived"
    _run(folder / "a", "byol", 5.0, batch_size=64, derived={"lr": 0.25})
    _run(folder / "b", "byol", 6.0, batch_size=128, derived={"lr": 0.5})
    names = [s.name for s in select(folder).groups[0].settings]
    assert names == ["batch_size=128", "batch_size=64"]


def test_a_plateau_is_taken_where_it_begins(tmp_path: Path) -> None:
    _study(tmp_path, {0.1: [10, 10.4], 0.2: [30, 31], 0.4: [31, 32], 0.8: [31.5, 32.5]})
    found = select([tmp_path])
    assert found.groups[0].settings[0].name == "lr=0.8"
    assert found.chosen == {"simclr": str(tmp_path / "lr0.2-1")}
    assert "plateau of lr 0.2 to 0.8, up to the largest" in found.groups[0].choices[0].rule
    assert any(
        "cannot be distinguished from the best, lr=0.8: lr=0.2, lr=0.4" in w for w in found.warnings
    )
    assert select([tmp_path], along="lr", scores="loss").chosen == found.chosen
    assert select([tmp_path], plateau=False).chosen == {"simclr": str(tmp_path / "lr0.8-1")}
    with pytest.raises(ValueError, match="unknown along 'lt'; did you mean 'lr'"):
        select([tmp_path], along="lt")


def test_what_diverged_is_never_chosen(tmp_path: Path) -> None:
    _run(tmp_path / "a", "simclr", 5.0, lr=0.1, n=400)
    _run(tmp_path / "b", "simclr", math.nan, lr=0.2, n=400)
    _run(tmp_path / "c", "simclr", 9.0, lr=0.4, n=400, loss=math.inf)
    marked = _run(tmp_path / "d", "simclr", 0.0, lr=0.8, n=400, finished=False)
    append(marked.path, [Record(run="d", name="diverged", value=1.0, split="pretrain")])
    found = select([tmp_path])
    assert found.chosen == {"simclr": str(tmp_path / "a")}
    assert (found.ranking[0].run, found.ranking[0].diverged) == ("a", False)
    assert {c.run for c in found.ranking if c.diverged} == {"b", "c", "d"}
    for why in ("its rankme/projector is not", "its last loss is not", "its training was given up"):
        assert any(why in w for w in found.warnings), why
    json.dumps(found.as_json(), allow_nan=False)
    # a seed of several: the others count
    _run(tmp_path / "e", "simclr", 7.0, lr=0.4, n=400, seed=1)
    found = select([tmp_path])
    assert found.chosen == {"simclr": str(tmp_path / "e")}
    assert any("1 of the 2 seeds of lr=0.4 diverged" in w for w in found.warnings)
    only = select([tmp_path / "b", tmp_path / "c"])
    assert only.chosen == {}


def test_a_seed_that_came_twice_counts_once(tmp_path: Path) -> None:
    old = _run(tmp_path / "old", "simclr", 9.0, n=400)
    _run(tmp_path / "new", "simclr", 5.0, n=400)
    os.utime(old.path / "config.json", (0, 0))
    found = select([tmp_path])
    assert found.chosen == {"simclr": str(tmp_path / "new")}
    assert found.groups[0].settings[0].mean == 5
    assert {c.run: c.counted for c in found.ranking} == {"new": True, "old": False}
    assert "the newest counts, not " + str(tmp_path / "old") in found.warnings[0]


def test_doubts_are_told(tmp_path: Path) -> None:
    _run(tmp_path / "a", "vicreg", 5.0, sd=0.5, lr=0.1, epochs=2, n=20)
    _run(tmp_path / "b", "vicreg", 5.5, sd=0.5, lr=0.2, epochs=4, n=50)
    _run(tmp_path / "c", "vicreg", 7.95, sd=0.1, lr=0.3, epochs=4, n=50)
    _run(tmp_path / "d", "vicreg", 1.0, finished=False)
    told = "\n".join(select([tmp_path]).warnings)
    assert "differ in n (20 to 50)" in told
    assert "fewer rows than 4 d" in told
    assert "trained for 2 to 4 epochs" in told
    assert "at the largest value that n and d allow, where it does not distinguish runs: c" in told
    assert f"left out, not finished: {tmp_path / 'd'}" in told
    folder = tmp_path / "seeds"
    _study(folder, {0.1: [5.0, 7.0], 0.2: [5.2, 7.2]})
    told = "\n".join(select(folder).warnings)
    assert "disagree as much as settings do (sd 0.234 and 0.0232 of the logarithms)" in told


def test_what_holds_of_every_run_is_told_once(tmp_path: Path) -> None:
    _run(tmp_path / "a", "vicreg", 5.0, seed=0, warnings=("the loss drives it", "only of a"))
    _run(tmp_path / "b", "vicreg", 7.0, seed=1, warnings=("the loss drives it",))
    assert select([tmp_path], by="rankme").warnings == ("vicreg: the loss drives it",)


def test_several_scores_side_by_side(tmp_path: Path) -> None:
    _study(tmp_path, {0.1: [4, 4.1], 0.2: [6, 6.1], 0.4: [8, 8.1]})
    found = select([tmp_path], scores=("rankme/backbone", "loss", "rankme"))
    first, backbone, loss = found.groups[0].choices
    assert (first.score, first.setting) == ("rankme/projector", "lr=0.4")
    assert first.agreement.value == pytest.approx(1)
    assert (backbone.score, backbone.setting) == ("rankme/backbone", "lr=0.1")
    assert backbone.agreement.value == pytest.approx(-1)
    assert backbone.agreement.settings == 3
    assert loss.agreement.value is None  # all losses are one
    assert found.groups[0].settings[0].scores["rankme/backbone"] == pytest.approx(11.95)
    assert found.ranking[0].scores == {"rankme/backbone": pytest.approx(11.9), "loss": 1.0}
    assert any("loss: a training loss compares runs only" in w for w in found.warnings)


def test_labels_tell_and_never_choose(tmp_path: Path) -> None:
    accuracies = {0.1: 0.9, 0.2: 0.8, 0.4: 0.6}
    for lr, accuracy in accuracies.items():
        for seed in (0, 1):
            shown = accuracy + 0.02 * seed
            _run(tmp_path / f"{lr}-{seed}", "simclr", 20 * lr + seed / 10, lr=lr, n=400,
                 seed=seed, accuracy=shown)  # fmt: skip
    found = select([tmp_path])
    estimate = found.groups[0].choices[0].regret
    assert estimate is not None
    assert (estimate.best_setting, estimate.spearman.value) == ("lr=0.1", pytest.approx(-1))
    assert estimate.regret == pytest.approx(0.3)
    assert estimate.regret_sd == pytest.approx(0.02 / math.sqrt(2))
    assert estimate.random_regret == pytest.approx(0.91 - (0.91 + 0.81 + 0.61) / 3)
    assert found.groups[0].settings[0].oracle == pytest.approx(0.61)
    for run in tmp_path.iterdir():
        append(run, [Record(run="x", name="accuracy/logistic", value=0.1, split="test")])
    again = select([tmp_path])
    assert again.chosen == found.chosen
    assert [c.run for c in again.ranking] == [c.run for c in found.ranking]
    assert select([tmp_path], oracle="accuracy/knn").groups[0].choices[0].regret == estimate
    with pytest.raises(ValueError, match="none of the runs has a record accuracy/mlp"):
        select([tmp_path], oracle="accuracy/mlp")
    with pytest.raises(ValueError, match="oracle: expected accuracy/NAME or risk/NAME"):
        select([tmp_path], oracle="loss")


def test_scores_that_no_record_holds_come_from_the_embeddings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = _run(tmp_path / "a", "vicreg", 5.0)
    Embeddings(rng.standard_normal((100, 8))).save(run.embeddings("projector"))
    found = criterion_value(run, parse_criterion("nesum"))
    assert found is not None
    assert 4 < found.value <= 8
    assert found.sd is not None
    assert (found.n, found.d) == (100, 8)
    assert "the loss itself drives the rank" in found.warnings[0]
    with pytest.raises(ValueError, match=r"jessl embed .*/a --data digits --layers backbone --out"):
        criterion_value(run, parse_criterion("nesum/backbone"))
    with pytest.raises(ValueError, match=r"--views simclr --out .*/embeddings/views/projector"):
        criterion_value(run, parse_criterion("lidar"))
    images = np.repeat(rng.standard_normal((60, 1, 8)), 4, axis=1)
    views = (images + 0.1 * rng.standard_normal(images.shape)).reshape(240, 8)
    kept = Embeddings(views, ids=np.repeat(np.arange(60), 4))
    kept.save(run.embeddings("views/projector"))
    lidar = criterion_value(run, parse_criterion("lidar"))
    assert lidar is not None
    assert lidar.n == 60
    broken = _run(tmp_path / "b", "simclr", 5.0)
    Embeddings(np.full((5, 2), np.nan)).save(broken.embeddings("projector"))
    odd = criterion_value(broken, parse_criterion("nesum"))
    assert odd is not None
    assert math.isnan(odd.value)
    assert (
        criterion_value(_run(tmp_path / "c", "simclr", 5, finished=False), parse_criterion("loss"))
        is None
    )


def test_scores_of_unlike_views_are_not_ordered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = [_run(tmp_path / name, "simclr", 5.0) for name in "abc"]
    images = np.repeat(rng.standard_normal((60, 1, 8)), 2, axis=1)
    ids = np.repeat(np.arange(60), 2)
    for run, (name, size) in zip(
        runs, (("simclr", 8), ("simclr", 16), ("disjoint", 8)), strict=True
    ):
        views = (images + rng.standard_normal(images.shape)).reshape(120, 8)
        meta = {"views": preset(name, size).as_dict()}
        Embeddings(views, None, ids, meta).save(run.embeddings("views/backbone"))
    chosen = select(runs, by="view_retrieval/backbone").groups
    # another size is the same recipe; another recipe is another group
    assert len(chosen) == 2
    assert all(", views " in group.name for group in chosen)
    forced = select(runs, by="view_retrieval/backbone", force=True)
    assert len(forced.groups) == 1
    assert "the runs differ in views" in forced.warnings[0]


def test_a_criterion_knows_its_direction() -> None:
    assert parse_criterion("rankme").utility(3) == 3
    assert parse_criterion("loss").utility(3) == -3
    assert parse_criterion("alpha_req:first=5/backbone").utility(0.7) == pytest.approx(-0.3)
    assert math.isnan(parse_criterion("alpha_req").utility(math.nan))
    assert parse_criterion("rankme/projector.2").layer == "projector.2"
    for text, words in {
        "rankm": "unknown by 'rankm'; did you mean 'rankme'",
        "rankme_backbone": "did you mean 'rankme/backbone'",
        "rankme/projecter": "did you mean 'projector'",
        "rankme:ep=1": "unknown option of rankme 'ep'; did you mean 'eps'",
        "twonn": "sources disagree",
        "loss/backbone": "the loss has no layer",
    }.items():
        with pytest.raises(ValueError, match=words):
            parse_criterion(text)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_of_a_study(tmp_path: Path, ending: str) -> None:
    frame = pd.DataFrame(
        {
            "run": list("abcdefg"),
            "method": ["vicreg"] * 6 + ["simclr"],
            "seed": [0, 1, 0, 1, 0, 0, 0],
            "lr": [0.1, 0.1, 0.2, 0.2, 0.4, 0.8, 0.1],
            "rankme_projector": [5.0, 5.2, 9.0, 9.3, np.nan, np.inf, 2.0],
            "rankme_projector_sd": 0.1,
            "rankme_projector_n": 500,
            "rankme_projector_d": 16,
            "accuracy_logistic": [0.5, 0.5, 0.7, 0.8, np.nan, np.nan, 0.3],
            "accuracy_logistic_low": 0.1,
            "risk_total": 0.4,
            "seconds": range(7),
        }
    )
    path = tmp_path / f"t{ending}"
    frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path, index=False)
    found = select(path)
    assert found.chosen == {"vicreg": "d", "simclr": "g"}
    vicreg = next(g for g in found.groups if g.name == "vicreg")
    assert [s.name for s in vicreg.settings] == ["lr=0.2", "lr=0.1", "lr=0.8"]
    assert vicreg.settings[0].oracle == pytest.approx(0.75)
    assert [c.run for c in found.ranking if c.diverged] == ["f"]
    assert any("left out, not finished: e" in w for w in found.warnings)
    estimate = vicreg.choices[0].regret
    assert estimate is not None
    assert estimate.regret == 0
    with pytest.raises(ValueError, match="unknown column 'nesum_projector'"):
        select(path, by="nesum")
    with pytest.raises(ValueError, match="one table or runs"):
        select([path, tmp_path])


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run"):
        select([tmp_path / "nothing"])
    with pytest.raises(ValueError, match="at least one run"):
        select([])
    with pytest.raises(ValueError, match="no such file"):
        select(tmp_path / "no.csv")
    (tmp_path / "broken.parquet").write_text("nothing")
    with pytest.raises(ValueError, match="Parquet file cannot be read"):
        select(tmp_path / "broken.parquet")
    run = Run(tmp_path / "unfinished")
    run.write_config(Pretrain(data="x"), ResolvedPretrain(data="x", **DECIDED), {})
    with pytest.raises(ValueError, match="no training was finished"):
        select([run])
    _run(tmp_path / "a", "vicreg", 5.0)
    found = select([tmp_path, tmp_path / "a"])
    assert [c.run for c in found.ranking] == ["a"]
    assert "left out, not finished" in found.warnings[0]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["RUNS", "--encoders", "timm:x"], "runs, --encoders: expected one of them"),
        (["RUNS", "--data", "digits"], "--data has no meaning when choosing among runs"),
        (["RUNS", "--checkpoints", "--force"], "--force has no meaning .* --checkpoints"),
        (["RUNS", "RUNS2", "--checkpoints"], "--checkpoints: expected one run, got 2"),
        (["RUNS", "--train", "digits"], "--train, --test: expected both"),
        (["--encoders", "x", "--data", "digits"], "--encoders needs --out"),
        (["--encoders", "x", "--by", "rankme"], "--by has no meaning when choosing among --enc"),
        ([], "expected at least one run, or --encoders"),
    ],
)
def test_options_of_another_choice_are_refused(
    args: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(tmp_path / "a", "vicreg", 5.0)
    assert main(["select", *(str(tmp_path) if a == "RUNS" else a for a in args)]) == 2
    said = capsys.readouterr().err
    assert re.search(words, said), said


def test_the_command_shows_what_was_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _study(tmp_path, {0.1: [4, 4.1], 0.2: [6, 6.1], 0.4: [8, 8.1]}, accuracy=0.5)
    args = ["select", str(tmp_path), "--scores", "rankme/backbone, loss"]
    assert main(args) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith(f"Take {tmp_path / 'lr0.4-1'} (lr=0.4): RankMe ")
    assert "± 0.071 (sd over seeds), the best of 3 settings" in lines[0]
    assert lines[3].split()[:5] == ["simclr", "lr=0.4", "2", "8.05", "0.0707"]
    assert "chosen" in lines[3]
    assert any(line.split()[:4] == ["simclr", "rankme/backbone", "lr=0.1", "-1.00"]
               for line in lines), out  # fmt: skip
    assert "more warnings about the other scores: --json" in err
    assert main([*args, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["chosen"] == {"simclr": str(tmp_path / "lr0.4-1")}
    assert told["groups"][0]["choices"][0]["verdict"]["regret"] == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,simclr,0.1,1,10,\nb,simclr,0.2,1,-,", "column rankme_projector, run b: .* got '-'"),
        ("a,simclr,0.1,first,10,", "column seed, run a: expected a number, got 'first'"),
        ("a,simclr,0.1,1.5,10,", "column seed, run a: expected a whole number, got 1.5"),
        # pandas 2 leaves it a text
        ("a,simclr,0.1,1e999,10,", "seed, run a: expected a whole number, got (inf|'1e999')$"),
        ("a,simclr,0.1,1,10,perhaps", "column diverged, run a: expected true or false"),
    ],
)
def test_a_wrong_cell_of_a_table_is_named(tmp_path: Path, rows: str, message: str) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(f"run,method,lr,seed,rankme_projector,diverged\n{rows}\n")
    with pytest.raises(ValueError, match=message) as error:
        select(table)
    assert str(error.value).startswith(str(table))


@pytest.mark.parametrize("word", ["no", "False", "0", ""])
def test_words_for_not_diverged(tmp_path: Path, word: str) -> None:
    table = tmp_path / "runs.csv"
    rows = f"a,simclr,0.1,10,{word}\nb,simclr,0.2,20,{word}\nc,simclr,0.3,99,yes\n"
    table.write_text(f"run,method,lr,rankme_projector,diverged\n{rows}")
    assert select(table).groups[0].choices[0].path == "b"
