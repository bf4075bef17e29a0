"""Scores of views under another recipe: taken again for every run, and recorded with its name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from helpers.run_samples import small_config
from jessl import Run, pretrain, select
from jessl.cli.main import main
from jessl.config import Sweep
from jessl.selection.criteria import final_record
from jessl.sweeps.sweep import sweep

CRITERION = "view_retrieval/backbone"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "a"
    config = small_config("digits", folder, epochs=1, encoder="smallconv:8", batch_size=256)
    return pretrain(config, quiet=True)


def _value(run: Run) -> tuple[object, object]:
    record = final_record(run, CRITERION)
    assert record is not None
    return record.value, record.extra["params"].get("preset")


def test_runs_are_scored_again_and_back(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    recorded, _ = _value(run)
    easy = select([run], by=CRITERION).ranking[0].value
    assert easy == recorded
    hard = select([run], by=CRITERION, score_views="disjoint").ranking[0].value
    assert hard != easy
    assert _value(run) == (hard, "disjoint")
    # the second time nothing is computed
    count = len(run.records())
    assert select([run], by=CRITERION, score_views="disjoint").ranking[0].value == hard
    assert len(run.records()) == count
    # the distance from the start is that of the training
    main(["select", str(run.path), "--by", CRITERION, "--score-views", "simclr"])
    assert _value(run)[1] == "simclr"


def test_a_study_under_one_recipe(tmp_path: Path) -> None:
    base = small_config("digits", Path("unused"), epochs=1, encoder="smallconv:8", batch_size=256)
    config = Sweep(
        base=dataclasses.replace(base, out=None),
        space={"lr": [1e-4, 2e-3]},
        seeds=(0,),
        by=CRITERION,
        score_views="grayscale",
    )
    result = sweep(config, tmp_path / "s")
    for name, entry in result.runs.items():
        value, preset = _value(Run.open(tmp_path / "s" / "runs" / name))
        assert preset == "grayscale"
        assert entry["scores"][CRITERION]["value"] == value


def test_an_unknown_recipe_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown score_views 'disjiont'; did you mean 'disjoint'"):
        select([run], by=CRITERION, score_views="disjiont")


def test_images_that_are_gone_are_named(tmp_path: Path, stripes: Path) -> None:
    images = tmp_path / "images.npz"
    images.write_bytes(stripes.read_bytes())
    gone = pretrain(small_config(images, tmp_path / "run", epochs=1), quiet=True)
    images.unlink()
    with pytest.raises(ValueError, match=r"run: .*images\.npz"):
        select([gone], by=CRITERION, score_views="coarse")


def test_a_table_has_no_images(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("run,method,seed,view_retrieval_backbone\na,vicreg,0,.1\n")
    with pytest.raises(ValueError, match="score_views: a table holds no images"):
        select(table, by=CRITERION, score_views="coarse")
