"""Choosing among the checkpoints of a run, and probing runs at the end: on real, tiny trainings."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.run_samples import small_config
from jessl import Embeddings, Run, embed, pretrain, score, select
from jessl.cli.main import main
from jessl.records import keep_records
from jessl.selection.checkpoints import _choose, select_checkpoints
from jessl.selection.criteria import CriterionValue, parse_criterion
from jessl.selection.probe_runs import probe_runs


def _images(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    y = np.arange(96) % 3
    x = (rng.integers(0, 120, (96, 8, 8)) + 60 * y[:, None, None]).astype(np.uint8)
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _images(tmp_path_factory.mktemp("data") / "train.npz", 0)


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """A run of three epochs that kept a checkpoint of each; 16 images are held out."""
    config = small_config(
        data, data.parent / "run", checkpoint_epochs=1, keep_checkpoints=0, holdout=16,
        evaluate_epochs=1, objective_options={"projector": "16-8"},
    )  # fmt: skip
    return pretrain(config).path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(trained, tmp_path / "run"))


def test_every_checkpoint_is_judged_on_the_images_of_the_run(run: Run) -> None:
    found = select_checkpoints(run, by="rankme")
    assert [c.epoch for c in found.checkpoints] == [1, 2, 3]
    assert [Path(c.path).name[-2:] for c in found.checkpoints] == ["05", "10", "15"]
    last = found.checkpoints[-1]
    # the training judged its last state on the same images
    final = next(r for r in run.records() if (r.split, r.name) == ("pretrain", "rankme/projector"))
    assert (last.value, last.sd, last.n) == (final.value, final.sd, 80)
    first = found.checkpoints[0]
    kept = Embeddings.load(run.embeddings("projector"))
    by_hand = embed(first.path, run.config().data, layers=("projector",))
    assert isinstance(by_hand, Embeddings)
    order = {int(i): k for k, i in enumerate(by_hand.ids)}
    rows = by_hand.subset([order[int(i)] for i in kept.ids])
    assert first.value == pytest.approx(score(rows)["rankme"].value, rel=1e-6)
    assert [(o.step, o.split) for o in found.online] == [(5 * k, "heldout") for k in (1, 2, 3)]
    assert sum(c.chosen for c in found.checkpoints) == 1
    assert found.chosen == next(c.path for c in found.checkpoints if c.chosen)


def test_what_was_embedded_is_kept(run: Run, data: Path, tmp_path: Path) -> None:
    before = select_checkpoints(run, by="rankme/backbone")
    folders = sorted(p.name for p in run.embeddings("x").parent.glob("step-*"))
    # of the last step the run has embeddings already
    assert folders == ["step-000000005", "step-000000010"]
    gone = data.rename(tmp_path / "moved.npz")
    try:
        assert select_checkpoints(run, by="rankme/backbone") == before
        with pytest.raises(ValueError, match=r"train\.npz"):
            select_checkpoints(run, by="rankme/projector")
        moved = select_checkpoints(run, by="rankme/projector", data=str(gone))
    finally:
        gone.rename(data)
    values = [c.value for c in moved.checkpoints]
    assert values == [c.value for c in select_checkpoints(run, by="rankme").checkpoints]
    assert moved.warnings == select_checkpoints(run, by="rankme").warnings


def test_another_file_in_a_step_is_embedded_again(run: Run) -> None:
    before = [c.value for c in select_checkpoints(run, by="rankme").checkpoints]
    steps = sorted(run.checkpoints.iterdir())
    kept = run.embeddings(f"{steps[0].name}/projector")
    made = kept.stat().st_ino
    assert [c.value for c in select_checkpoints(run, by="rankme").checkpoints] == before
    assert kept.stat().st_ino == made
    (steps[0] / "checksums.json").unlink()  # a checkpoint of a version that wrote none
    shutil.copyfile(steps[1] / "model.safetensors", steps[0] / "model.safetensors")
    after = [c.value for c in select_checkpoints(run, by="rankme").checkpoints]
    assert after == [before[1], *before[1:]] != before
    (steps[0] / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"cannot read checkpoint .*model\.safetensors"):
        select_checkpoints(run, by="rankme")


def test_other_images_at_the_place_of_the_run_s_are_never_kept_as_its_own(
    run: Run, data: Path, tmp_path: Path
) -> None:
    whole = shutil.copyfile(data, tmp_path / "whole.npz")
    try:
        _images(data, 1)
        others = select_checkpoints(run, by="rankme")
        assert "is not exactly what the run was" in "".join(others.warnings)
    finally:
        shutil.copyfile(whole, data)
    own = select_checkpoints(run, by="rankme")
    assert own.checkpoints[0].value != others.checkpoints[0].value
    assert "is not exactly what the run was" not in "".join(own.warnings)


def test_images_of_another_run_are_refused(run: Run, tmp_path: Path) -> None:
    other = _images(tmp_path / "other.npz", 1)
    found = select_checkpoints(run, by="rankme", data=str(other))
    assert f"by its checksum {other} is not exactly what the run was" in "".join(found.warnings)
    np.savez(tmp_path / "few.npz", x=np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="lacks images that run"):
        select_checkpoints(run, by="rankme", data=str(tmp_path / "few.npz"))
    # an unfinished run has nothing but the division of its images to go by
    keep_records(run.path, lambda r: r.split != "pretrain")
    final = [c.value for c in select_checkpoints(run, by="rankme").checkpoints]
    shutil.rmtree(run.path / "embeddings")
    again = [c.value for c in select_checkpoints(run, by="rankme").checkpoints]
    assert again == pytest.approx(final, rel=1e-9)
    with pytest.raises(ValueError, match="is not what run"):
        select_checkpoints(run, by="rankme", data=str(other))


def test_the_first_of_the_plateau_is_taken(run: Run) -> None:
    def taken(values: list[float], by: str = "rankme", sd: float | None = 0.1) -> tuple[int, str]:
        found = [
            (5 * k, run.checkpoints / f"step-{5 * k:09d}", CriterionValue(v, sd, None, 80, 8))
            for k, v in enumerate(values, 1)
        ]
        answer = _choose(run, parse_criterion(by), found, [])
        chosen = [k for k, c in enumerate(answer.checkpoints) if c.chosen]
        assert len(chosen) == 1
        return chosen[0], "\n".join([answer.rule, *answer.warnings])

    assert taken([3, 6, 6.1, 6.2, 6.1])[0] == 1
    assert "first of a plateau that has its best at epoch 4" in taken([3, 6, 6.1, 6.2, 6.1])[1]
    assert taken([3, 6, 5, 6.1])[0] == 3  # a dip between ends the plateau
    assert "still moving" in taken([3, 4, 5, 6])[1]
    assert taken([math.nan, 5, math.nan])[0] == 1
    assert taken([3.0, 0.9, 1.4], "alpha_req", sd=0.01)[0] == 1
    index, told = taken([3, 6, 6.1], sd=None)
    assert (index, "has no error bar" in told) == (2, True)
    with pytest.raises(ValueError, match="not finite at any"):
        taken([math.nan, math.nan])


def test_few_checkpoints_are_told(run: Run) -> None:
    config = dataclasses.replace(run.config(), keep_checkpoints=3)
    resolved = dataclasses.replace(run.resolved_config(), keep_checkpoints=3)
    run.write_config(config, resolved, run.facts())
    assert "3 on disk: the run kept its latest 3" in "".join(
        select_checkpoints(run, by="rankme").warnings
    )
    with pytest.raises(ValueError, match="is not a score of embeddings"):
        select_checkpoints(run, by="loss")
    shutil.rmtree(run.checkpoints)
    with pytest.raises(ValueError, match="no checkpoint yet"):
        select_checkpoints(run, by="rankme")


def test_scores_of_views_choose_under_one_recipe(run: Run) -> None:
    answer = select_checkpoints(run)
    assert answer.by == "view_retrieval/backbone"
    assert [c.n for c in answer.checkpoints] == [answer.checkpoints[0].n] * 3
    assert all(0 <= c.value <= 1 and c.sd is not None for c in answer.checkpoints)
    kept = run.embeddings(f"{Path(answer.chosen).name}/views/backbone")
    z = Embeddings.load(kept)
    assert len(z.meta["views"]["views"]) == 4
    # a second call reads what was kept
    before = kept.stat().st_mtime_ns
    assert select_checkpoints(run, by="view_retrieval/backbone").chosen == answer.chosen
    assert kept.stat().st_mtime_ns == before


def test_the_command_names_what_embed_takes(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", str(run.path), "--checkpoints", "--by", "rankme", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["select", str(run.path), "--checkpoints", "--by", "rankme"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"{told['conclusion']}."
    assert told["conclusion"].startswith(f"Take {told['chosen']}: ")
    assert told["rule"] in told["conclusion"]
    assert "heldout" in out
    assert "warning: the loss itself drives the rank" in err
    args = ["embed", told["chosen"], "--data", str(data), "--out", str(tmp_path / "emb")]
    assert main(args) == 0
    assert Embeddings.load(tmp_path / "emb").n == 96


def test_probes_come_at_the_end(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = _images(tmp_path / "test.npz", 2)
    before = select([run])
    assert before.groups[0].settings[0].oracle is None
    args = ["select", str(run.path), "--train", str(data), "--test", str(test)]
    assert main(args) == 0
    assert "test accuracy/logistic" in capsys.readouterr().out
    assert probe_runs([run], str(data), str(test)) == []  # what is known is left as it is
    record = run.records()[-1]
    assert (record.split, record.name, record.extra["n"]) == ("test", "accuracy/logistic", 96)
    assert isinstance(record.value, float)
    assert record.value > 0.6  # three classes that their brightness tells apart
    assert record.low is not None
    assert record.low <= record.value
    after = select([run])
    assert after.chosen == before.chosen
    assert after.groups[0].settings[0].oracle == record.value
    assert probe_runs([run], str(data), str(test), oracle="accuracy/knn") == [str(run.path)]


def test_probes_need_labels_and_other_images(run: Run, data: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", x=np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"test: the images of .*bare\.npz have no labels"):
        probe_runs([run], str(data), str(tmp_path / "bare.npz"))
    with pytest.raises(ValueError, match="expected other images than train"):
        probe_runs([run], str(data), str(data))
    with pytest.raises(ValueError, match="unknown oracle 'logistik'; did you mean 'logistic'"):
        probe_runs([run], str(data), str(data), oracle="accuracy/logistik")
    with pytest.raises(ValueError, match="oracle: expected accuracy/KIND, got"):
        probe_runs([run], str(data), str(data), oracle="risk/total")
