"""Probing finished runs on labelled images; the accuracies are recorded in the runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from jessl.core.log import log
from jessl.core.validation import check_choice
from jessl.data import Source, open_source
from jessl.data.labels import check_same_classes, with_class_names
from jessl.probes.registry import KINDS
from jessl.runs import Run
from jessl.selection.candidates import open_runs
from jessl.selection.result import ORACLE
from jessl.selection.run_evaluation import probe_run, recorded_accuracies


def probe_runs(
    runs: Iterable[Run | str | Path],
    train: Source | str | Path,
    test: Source | str | Path,
    *,
    oracle: str = ORACLE,
    class_names: str | Path | Sequence[str] | None = None,
    bits: int | None = None,
    value_range: Sequence[float] | None = None,
    workers: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Probe the backbone of every finished run that has no record for these images, and record it.

    Args:
        runs: run folders, folders that hold runs, Runs; unfinished ones are skipped.
        train: labelled images to fit on: a Source or SRC; test: others to test on.
        oracle: "accuracy/KIND", KIND a probe: logistic, ridge, mlp or knn.
        class_names: names of the labels 0, 1, ... of the images whose labels are numbers only.
        bits, value_range: which stored values become white and black, as of `open_source`.
        workers: threads that decode; None: the cores.
        seed: of the probe's folds.

    Returns:
        The folders that were probed.

    Raises:
        ValueError: for images without labels, the same images twice, or another oracle.
    """
    part, _, kind = oracle.partition("/")
    if part != "accuracy":
        raise ValueError(f"oracle: expected accuracy/KIND, got {oracle!r}")
    check_choice("oracle", kind, KINDS)
    known = open_runs(runs)
    opened = partial(open_source, bits=bits, value_range=value_range)
    sources = {"train": opened(train), "test": opened(test)}
    for note in (*sources["train"].notes, *sources["test"].notes):
        log.note(note)
    named = with_class_names(class_names, **sources)
    sources = dict(zip(sources, named, strict=True))
    check_same_classes(**sources)
    if sources["train"].fingerprint() == sources["test"].fingerprint():
        raise ValueError("test: expected other images than train, got the same")
    made = []
    for run in known:
        if not run.finished() or oracle in recorded_accuracies(run, **sources):
            continue
        log.info(f"probing {run.path}")
        probe_run(run, **sources, kinds=(kind,), seed=seed, workers=workers)
        made.append(str(run.path))
    return made
