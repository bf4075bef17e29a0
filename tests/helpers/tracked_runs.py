"""Run folders with records that no training wrote, and what loggers made of them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from jessl import Pretrain, Run
from jessl.config import ResolvedPretrain
from jessl.core.log import Log
from jessl.records import Record, append
from jessl.tracking import Tracking

STEPS_PER_EPOCH = 4
_DECIDED = {
    "channels_last": False,
    "compile": False,
    "encoder": "smallconv:4",
    "size": 8,
    "epochs": 3,
    "batch_size": 6,
    "lr": 0.25,
    "weight_decay": 0.0,
    "warmup_epochs": 0.0,
    "holdout": 8,
    "evaluate_epochs": 1,
    "checkpoint_epochs": 1,
    "log_steps": 2,
}


def new_run(folder: Path) -> Run:
    """A run that has not taken a step."""
    folder.mkdir(parents=True)
    config = Pretrain(data="photos", objective_options={"cov": 4.0})
    resolved = ResolvedPretrain(**(vars(config) | _DECIDED))  # type: ignore[arg-type]
    run = Run(folder)
    run.write_config(config, resolved, {"dim": 16, "device": "cpu", "classes": ["a", "b"]})
    return run


def record(run: Run, name: str, value: float | list[float], step: int, split: str) -> Record:
    return Record(
        run=run.name,
        name=name,
        value=value,
        step=step,
        epoch=step / STEPS_PER_EPOCH,
        split=split,
        seconds=float(step),
    )


def add_epoch(run: Run, epoch: int) -> None:
    """The records of an epoch: two of the loss, and an evaluation."""
    for step in (STEPS_PER_EPOCH * epoch - 2, STEPS_PER_EPOCH * epoch):
        append(
            run.path,
            [
                record(run, "loss", 1 / step, step, "train"),
                record(run, "loss/invariance", 0.5 / step, step, "train"),
                record(run, "learning_rate", 0.25, step, "train"),
            ],
        )
    append(
        run.path,
        [
            record(run, "rankme/projector", 2.0 * epoch, step, "heldout"),
            record(run, "accuracy/knn", math.nan, step, "heldout"),
        ],
    )


def add_end(run: Run, step: int) -> None:
    """The records of the trained encoder; a list and an accuracy of no step are among them."""
    append(
        run.path,
        [
            record(run, "spectrum/backbone", [1.0, 2.0], step, "pretrain"),
            record(run, "rankme/backbone", 7.5, step, "pretrain"),
            Record(run=run.name, name="accuracy/logistic", value=0.75, split="test"),
        ],
    )


def add_whole(run: Run) -> None:
    """Two epochs and the end."""
    for epoch in (1, 2):
        add_epoch(run, epoch)
    add_end(run, 2 * STEPS_PER_EPOCH)


def log_all(
    run: Run, *names: str, group: str | None = None, warnings: list[str] | None = None
) -> None:
    """Have loggers take all records of a run that they lack; `warnings` gets what they print."""
    lines: list[str] = []
    with Tracking(names, group=group, log=Log(lines.append)).tracker() as tracker:
        tracker.start(run)
    if warnings is None:
        assert lines == [], lines
    else:
        warnings += lines


def table(run: Run) -> list[dict[str, str]]:
    """The rows of RUN/metrics.csv."""
    with (run.path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
