"""Loggers of real trainings: what they have is what records.jsonl has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from helpers.run_samples import small_config
from helpers.tracked_runs import table
from jessl import Pretrain, Run, Sweep, pretrain
from jessl.config import hyperparameters
from jessl.core.files import read_json, write_json
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT
from jessl.records import Record, append
from jessl.sweeps.manifest import check_same
from jessl.sweeps.space import read_space
from jessl.tracking import Tracking
from jessl.tracking.points import PointReader

ONE = {"epochs": 1, "batch_size": 16, "checkpoint_seconds": 0.0}


def _logged_losses(run: Run) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    return [(e.step, pytest.approx(e.value)) for e in events.Scalars("train/loss")]


def test_a_training_is_logged_and_a_run_of_an_earlier_release_resumes_with_loggers(
    stripes: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is missing: jessl[tensorboard]")
    calls = iter([False, False, True])
    config = small_config(stripes, tmp_path / "run", **ONE)
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    run = Run.open(tmp_path / "run")
    assert len(_logged_losses(run)) == 3  # by default
    stored = read_json(run.path / "config.json")
    for values in (stored, stored["chosen"]["config"]):
        del values["log"], values["log_project"]
    write_json(run.path / "config.json", stored)

    resumed = Pretrain(
        data=str(stripes), out=str(run.path), resume=True, log=("csv", "tensorboard")
    )
    pretrain(resumed, quiet=True)
    points = PointReader().points(run.records())
    assert _logged_losses(run) == [(p.step, p.value) for p in points if p.name == "train/loss"]
    last = {p.name: p.value for p in points}
    assert {k: float(v) for k, v in table(run)[-1].items() if "/" in k} == last
    # of a finished run, loggers that were not there get everything
    (run.path / "metrics.csv").unlink()
    pretrain(dataclasses.replace(resumed, log=("csv",)), quiet=True)
    assert float(table(run)[-1]["final/rankme_backbone"]) == last["final/rankme_backbone"]


def test_the_caller_of_a_training_may_add_records_to_what_is_logged(
    stripes: Path, tmp_path: Path
) -> None:
    tracking = Tracking(("csv",), group="study", log=SILENT)
    tracker = tracking.tracker()
    run = pretrain(
        small_config(stripes, tmp_path / "run", **ONE, evaluate_epochs=0),
        quiet=True,
        tracker=tracker,
    )
    append(run.path, [Record(run="run", name="accuracy/logistic", value=0.5, split="test")])
    tracker.close("finished")
    assert table(run)[-1]["test/accuracy_logistic"] == "0.5"
    assert not (run.path / "tensorboard").exists()


def test_loggers_are_no_part_of_what_a_study_or_a_setting_is() -> None:
    base = Pretrain(data="photos")
    logged = dataclasses.replace(base, log=("wandb",), log_project="mine")
    assert hyperparameters(logged.as_json()) == hyperparameters(base.as_json())
    studies = [Sweep(base=b, space={"lr": [0.1]}).as_json() for b in (base, logged)]
    check_same(*studies, "here")
    with pytest.raises(ValueError, match="space: log cannot be varied"):
        read_space({"log": ["csv"]}, base)
