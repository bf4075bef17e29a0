"""What labels say of runs, measured at the end: a probe on each, recorded with the run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jessl.core.log import log
from jessl.core.validation import check_choice
from jessl.data import open_source
from jessl.data.labels import check_same_classes
from jessl.probes.registry import KINDS
from jessl.runs import Run
from jessl.selection.candidates import opened
from jessl.selection.run_evaluation import probe_run, probed_on
from jessl.selection.select import ORACLE


def probe_runs(
    runs: Iterable[Run | str | Path],
    train: Any,
    test: Any,
    *,
    oracle: str = ORACLE,
    workers: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Probe the backbone of every finished run that lacks the record of these images; append it.

    Args:
        runs: run folders, folders that hold runs, Runs; what is not finished is passed over.
        train: labelled images to fit on: a Source or SRC; test: others to test on.
        oracle: "accuracy/KIND", KIND a probe: logistic, ridge, mlp or knn.
        workers: threads that decode; None: the cores.
        seed: of the probe's folds.

    Returns:
        The folders that were probed.

    Raises:
        ValueError: for images without labels, the same images twice, or another oracle.
    """
    part, _, kind = oracle.partition("/")
    if part != "accuracy":
        raise ValueError(f"oracle: accuracy/KIND can be measured here, got {oracle!r}")
    check_choice("oracle", kind, KINDS)
    known = opened(runs)
    sources = {"train": open_source(train), "test": open_source(test)}
    check_same_classes(**sources)
    if sources["train"].fingerprint() == sources["test"].fingerprint():
        raise ValueError("test: these are the images of train; a probe is tested on others")
    made = []
    for run in known:
        if not run.finished() or oracle in probed_on(run, **sources):
            continue
        log.info(f"probing {run.path}")
        probe_run(run, **sources, kinds=(kind,), seed=seed, workers=workers)
        made.append(str(run.path))
    return made
