"""The verb `demo`: a named sweep on real images, then what labels say of the choice."""

from __future__ import annotations

import dataclasses
import platform
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jessl.config import Pretrain, Sweep
from jessl.core.deprecation import renamed_arguments
from jessl.core.files import locked, write_json
from jessl.core.log import Log, log
from jessl.core.progress import duration
from jessl.core.resources import usable_cores
from jessl.core.validation import check_int
from jessl.data import Source, UnreadableImage, split_source
from jessl.data.options import data_options, open_configured
from jessl.demo.closing_check import best_of_methods, closing_check
from jessl.pretraining import defaults
from jessl.recipes.studies import digits_sweep, digits_sweep_quick
from jessl.selection.grouping import format_value
from jessl.selection.result import score_in_words
from jessl.sweeps import manifest
from jessl.sweeps.results import FILE
from jessl.sweeps.study_state import RUNS, Sources
from jessl.sweeps.sweep import sweep

# images, and images that a run sees, that two cores train on in the time the command promises
_IMAGES = {False: 6_000, True: 2_000}
_IMAGES_SEEN = {False: 24_000, True: 12_000}
# an image above 16 pixels a side costs half as much again
_LARGE_PX, _LARGE_SHARE = 16, 2 / 3
# of a run whose data set is so small that it would be seen for hours
_MOST_EPOCHS = 400
_LEAST_IMAGES = 20
# the division of the images is part of the demo, not of its seeds
_SPLIT_SEED, _TEST_SHARE = 0, 0.2


@renamed_arguments(tell="log")
def demo(
    data: str = "digits",
    *,
    out: str | Path = "demo",
    labels: str | Path | None = None,
    quick: bool = False,
    epochs: int | None = None,
    images: int | None = None,
    workers: int | None = None,
    x_key: str | None = None,
    y_key: str | None = None,
    bits: int | None = None,
    value_range: tuple[float, float] | None = None,
    log: Log = log,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, object]:
    """Run or continue the demo study.

    Sixteen encoders (quick: eight) are trained without labels, one is chosen without labels, and a
    few labels show what it is worth beside raw pixels and the same net untrained.

    Args:
        data: SRC. A fifth of the images is kept for the closing check. Labels, where there are
            some, are read by that check alone.
        out: study folder; an interrupted study of the same settings goes on.
        labels: CSV file with columns path,label.
        quick: fewer configurations and epochs.
        epochs: of each run; None: 24,000 images seen a run (quick: 12,000), a third less above 16
            pixels a side; two views of each.
        images: how many images at most; None: 6,000 (quick: 2,000).
        workers: runs at a time; None: one a core, at most 8.
        x_key, y_key: names of the arrays in an .npz file.
        bits, value_range: which stored values become white and black, as of `open_source`.
        log: lines on the progress.
        stop: called twice a second; True saves the runs under way and raises Stopped.

    Returns:
        The content of study.json: the result of `jessl.sweep` with data, baselines and findings.

    Raises:
        ValueError: for data that cannot be used, or a folder that holds another study.
        Stopped: when `stop` returned True; the same call goes on.

    Example:
        study = demo("digits", out="demo", quick=True)
        print(study["findings"])
    """
    began = time.monotonic()
    folder = Path(out)
    manifest.read(folder)  # refuses a folder of other things before anything is opened
    for name, value, least in (("epochs", epochs, 1), ("images", images, 20)):
        if value is not None:
            check_int(name, value, least)
    workers = check_int("workers", min(8, usable_cores()) if workers is None else workers, 1)
    labels_file = None if labels is None else str(labels)
    request = Pretrain(
        data=str(data),
        labels=labels_file,
        x_key=x_key,
        y_key=y_key,
        bits=bits,
        value_range=value_range,
    )
    sources = partial(_sources, request, images or _IMAGES[quick])
    train, test = divided(request, images or _IMAGES[quick])
    config = study_config(request, train, quick=quick, epochs=epochs)
    data_facts = _data_facts(train, test)
    log.info(
        f"data      {train.name}: {len(train):,} images to train on, {len(test):,} for the closing "
        "check; labels are hidden until then"
    )
    with locked(folder, check=partial(manifest.read, folder)):
        result = sweep(config, folder, jobs=workers, sources=sources, log=log, stop=stop)
        if result.selection is None:
            raise ValueError(" ".join(result.findings))
        for group in result.groups:
            chosen = f"{group.parameter} {format_value(group.chosen)}"
            by = score_in_words(result.criterion)
            log.info(f"chosen    {group.method}: {chosen}, by {by} alone ({group.rule})")
        study: dict[str, Any] = result.as_json() | {
            "title": f"{', '.join(g.method for g in result.groups)} on {train.name}",
            "data": data_facts,
            "findings": ["There are no labels: what was chosen cannot be checked against them."],
        }
        if train.labels is not None:
            study |= closing_check(result, folder, config.base, (train, test), log)
        chosen_run = best_of_methods(result)
        study |= {
            "chosen_run": chosen_run,
            "conclusion": study["findings"][0].removesuffix("."),
            "next": _next_commands(request, folder / RUNS / str(chosen_run)),
        }
        seconds = round(time.monotonic() - began, 1)
        study |= {
            "seconds": seconds,
            "hardware": f"{workers} workers, {usable_cores()} cores, {platform.machine()}",
            "command": _command(request, folder, quick, epochs, images),
        }
        write_json(folder / FILE, study)
    log.info(f"done      in {duration(seconds)}")
    return study


def divided(request: Pretrain, images: int) -> tuple[Source, Source]:
    """(train, test): a fifth is for the closing check; hashes of the ids choose the images."""
    source = open_configured(request)
    if len(source) > images:
        source = split_source(source, images / len(source), _SPLIT_SEED)[1]
    return split_source(source, _TEST_SHARE, _SPLIT_SEED + 1)


def _sources(request: Pretrain, images: int) -> Sources:
    """The same for the sweep, which probes every run where there are labels."""
    train, test = divided(request, images)
    return train, None if train.labels is None else test


def study_config(request: Pretrain, train: Source, *, quick: bool, epochs: int | None) -> Sweep:
    """The named study with the size, the views and the epochs that suit the images.

    Raises:
        ValueError: for fewer images than anything can be learned from.
    """
    if len(train) < _LEAST_IMAGES:
        raise ValueError(
            f"data: expected at least {_LEAST_IMAGES} images to train on, got {len(train)} of "
            f"{train.name}"
        )
    study = digits_sweep_quick(request.data) if quick else digits_sweep(request.data)
    size = min(32, defaults.default_size(train, torch.device("cpu")))
    seen = round(_IMAGES_SEEN[quick] * (_LARGE_SHARE if size > _LARGE_PX else 1.0))
    epochs = epochs or int(np.clip(seen // len(train), 1, _MOST_EPOCHS))
    base = dataclasses.replace(
        study.base,
        **data_options(request),
        size=size,
        view_options=study.base.view_options if np.median(train.sizes()[0]) < 16 else {},
        epochs=epochs,
        batch_size=min(256, max(2, len(train) // 4)),
        evaluate_epochs=max(1, epochs // 6),
        checkpoint_epochs=max(1, epochs // 2),
    )
    return dataclasses.replace(study, base=base)


def _data_facts(train: Source, test: Source) -> dict[str, object]:
    """The data in the report; read before the training, so that nothing fails after it."""
    channels = _first_image(train).shape[2]
    heights, widths = train.sizes()
    same = len(set(heights.tolist())) == len(set(widths.tolist())) == 1
    size = f"{widths[0]}x{heights[0]}" if same else "various sizes"
    return {
        "name": train.name,
        "n_train": len(train),
        "n_test": len(test),
        "image": f"{size} {'grey' if channels == 1 else 'colour'}",
        "classes": None if train.classes is None else len(train.classes),
    }


def _first_image(source: Source) -> np.ndarray:
    for index in range(len(source)):
        try:
            return source.read(index)
        except UnreadableImage as error:
            last = error
    raise ValueError(f"data: not one image of {source.name} can be read: {last}")


def _next_commands(request: Pretrain, run: Path) -> list[str]:
    """Three lines that use the encoder of a run."""
    path, data = shlex.quote(str(run)), shlex.quote(request.data)
    return [
        f"jessl classify --encoder {path} --data {data} --labels FEW.csv --out predictions.csv",
        f"jessl embed {path} --data {data} --out embeddings",
        f"jessl export {path} exported",
    ]


def _command(
    request: Pretrain, folder: Path, quick: bool, epochs: int | None, images: int | None
) -> str:
    """The command line that runs this study."""
    parts = ["jessl", "demo", "--data", request.data, "--out", str(folder)]
    options: dict[str, object] = {
        "labels": request.labels,
        "x-key": request.x_key,
        "y-key": request.y_key,
        "bits": request.bits,
        "epochs": epochs,
        "images": images,
    }
    parts += ["--quick"] if quick else []
    for name, value in options.items():
        parts += [] if value is None else [f"--{name}", str(value)]
    if request.value_range is not None:
        parts += ["--range", *(f"{value:g}" for value in request.value_range)]
    return shlex.join(parts)
