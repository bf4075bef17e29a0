"""Train and measure the units of an experiment: each once, in any number of processes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from jessl.claims.experiments import (
    BASELINES,
    PIXELS,
    TUNE,
    ArmUnit,
    DataSet,
    Experiment,
    Fields,
    configuration,
)
from jessl.core.files import atomic_write, read_json, write_json
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT, Log
from jessl.data import Source, open_source, split_source, unlabelled
from jessl.embeddings import Embeddings
from jessl.extraction.embed import embed
from jessl.pretraining.pretrain import pretrain
from jessl.probes.probe import probe
from jessl.runs import Run

RESULT, CORRECT = "unit.json", "correct.npz"
LINEAR, MLP = "linear", "MLP"
# of the division into training and validation images, the same for all
_SPLIT_SEED = 0
# between two looks at units that other processes train
_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class Images:
    """The sources of a data set: what encoders see, what settings are compared on, the test."""

    name: str
    train: Source
    fit: Source
    validation: Source
    test: Source


def open_images(data: DataSet, folder: Path | None, validation_share: float) -> Images:
    """Open the images of a data set.

    Args:
        folder: of the user, with NAME-train.npz and NAME-test.npz; else the sources of `data`.

    Raises:
        ValueError: when they are not there.
    """
    parts = []
    for split, source, most in (
        ("train", data.train, data.train_images),
        ("test", data.test, data.test_images),
    ):
        path = None if folder is None else folder / f"{data.name}-{split}.npz"
        if path is None or not path.is_file():
            if source is None:
                raise ValueError(
                    f"--data: expected a folder with {data.name}-train.npz and "
                    f"{data.name}-test.npz, got {folder if folder is not None else 'none'}"
                )
            opened = open_source(source)
        else:
            opened = open_source(path)
        few = len(opened) <= most
        parts.append(opened if few else split_source(opened, most / len(opened), _SPLIT_SEED)[1])
    train, test = parts
    fit, validation = split_source(train, validation_share, _SPLIT_SEED)
    return Images(data.name, train, fit, validation, test)


def is_done(unit: ArmUnit, work: Path) -> bool:
    """Whether a unit is measured."""
    return (work / unit.key / RESULT).is_file()


def run_units(
    wanted: list[ArmUnit],
    experiment: Experiment,
    images: dict[str, Images],
    work: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
    log: Log = SILENT,
) -> None:
    """Measure every unit, or wait for the process that is at work on it.

    Raises:
        Stopped: when `stop` returned True; the training at work continues from its checkpoint.
    """
    while True:
        pending = [unit for unit in wanted if not is_done(unit, work)]
        at_work = 0
        for unit in pending:
            if stop():
                raise Stopped(f"stopped; {work} has what is finished")
            folder = work / unit.key
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(folder / ".lock", timeout=0):
                    if is_done(unit, work):
                        continue
                    measure(unit, experiment, images[unit.data], folder, stop)
            except Timeout:
                at_work += 1
                continue
            left = sum(not is_done(u, work) for u in wanted)
            log.info(f"{unit.data} {unit.arm} {unit.role} {unit.seed}: {left} left")
        if not at_work:
            return
        time.sleep(_WAIT_SECONDS)


def measure(
    unit: ArmUnit,
    experiment: Experiment,
    images: Images,
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train a unit and classify the validation or the test images; the result comes last."""
    began = time.monotonic()
    result: dict[str, object] = {"arm": unit.arm, "data": unit.data, "seed": unit.seed}
    result |= {"role": unit.role, "fields": dict(unit.fields), "outcome": "finished"}
    correct: dict[str, NDArray[np.float32]] = {}
    try:
        encode = _encoder(unit, images, folder, stop)
        if unit.role == TUNE:
            parts = (encode(images.fit), encode(images.validation))
            correct[LINEAR] = _linear(*parts)
        else:
            parts = (encode(images.train), encode(images.test))
            correct[LINEAR] = _linear(*parts)
            correct[few_name(experiment)] = _few(*parts, experiment)
            if experiment.mlp is not None:
                correct[MLP] = _mlp(*parts, experiment.mlp)
    except (ValueError, FloatingPointError) as error:
        # a setting that cannot be trained is a result: it is not chosen
        if unit.role != TUNE:
            raise
        result |= {"outcome": "refused", "reason": str(error)}
    result["accuracy"] = {name: float(rows.mean()) for name, rows in correct.items()}
    result["seconds"] = round(time.monotonic() - began, 1)
    if unit.role != TUNE:
        with atomic_write(folder / CORRECT) as part, part.open("wb") as file:
            np.savez_compressed(file, **correct)  # type: ignore[arg-type]
    write_json(folder / RESULT, result)
    shutil.rmtree(folder / "run", ignore_errors=True)


def few_name(experiment: Experiment) -> str:
    """The name of the few-shot accuracy, such as "5-shot"."""
    return f"{experiment.shots}-shot"


def chosen_setting(experiment: Experiment, data: str, arm: str, work: Path) -> Fields:
    """The setting of an arm with the highest validation accuracy; the first of equal ones.

    Raises:
        ValueError: where none could be trained.
    """
    if arm in BASELINES:
        return {}
    scores = []
    for unit in experiment.tuning_units(data, arm):
        result = read_json(work / unit.key / RESULT)
        scores.append(result["accuracy"].get(LINEAR, -1.0))
    if max(scores) < 0:
        raise ValueError(f"{arm} on {data}: no setting could be trained")
    return experiment.settings[arm][scores.index(max(scores))]


def _encoder(
    unit: ArmUnit, images: Images, folder: Path, stop: Callable[[], bool]
) -> Callable[[Source], Embeddings]:
    if unit.arm == PIXELS:
        return lambda source: _embed(PIXELS, source)
    fields = dict(unit.fields)
    if unit.arm in BASELINES:
        name = f"random:{fields['encoder']}"
        size = max(images.train.size(0))
        return lambda source: _embed(name, source, seed=unit.seed, size=max(16, size))
    out = folder / "run"
    run: Run = pretrain(
        configuration(unit.fields, images.name, str(out), unit.seed),
        source=unlabelled(images.fit),
        quiet=True,
        stop=stop,
    )
    return lambda source: _embed(run, source)


def _embed(encoder: str | Run, source: Source, **options: Any) -> Embeddings:
    z = embed(encoder, source, workers=1, device="cpu", **options)
    assert isinstance(z, Embeddings)
    return z


def _linear(train: Embeddings, test: Embeddings) -> NDArray[np.float32]:
    return probe(train, test, kind="logistic", duplicates=False).correct.astype(np.float32)


def _mlp(train: Embeddings, test: Embeddings, options: Fields) -> NDArray[np.float32]:
    result = probe(train, test, kind="mlp", duplicates=False, **options)
    return result.correct.astype(np.float32)


def _few(train: Embeddings, test: Embeddings, experiment: Experiment) -> NDArray[np.float32]:
    """Of each test image the share of the draws that classify it correctly."""
    draws = [
        probe(train, test, shots=experiment.shots, seed=1000 * k, duplicates=False).correct
        for k in range(experiment.draws)
    ]
    return np.mean(draws, axis=0, dtype=np.float32)
