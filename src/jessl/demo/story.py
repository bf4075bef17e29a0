"""The whole story on real images: train, judge without labels, choose, reveal, explain."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jessl import records
from jessl.config import Pretrain
from jessl.core.deprecation import renamed_arguments
from jessl.core.files import locked, write_json
from jessl.core.log import Log, log
from jessl.core.progress import duration
from jessl.core.resources import usable_cores
from jessl.data import Source, UnreadableImage
from jessl.demo import tasks
from jessl.demo.findings import Trial, judged
from jessl.demo.pool import Pool, worker_pool
from jessl.demo.settings import (
    FULL,
    IMAGES,
    QUICK,
    SEEDS,
    VIEWS_SEEN,
    Sweep,
    claim,
    command,
    configs,
    run_name,
)
from jessl.runs import Run
from jessl.selection import final_record
from jessl.views.kernels import compiled

STUDY = "study.json"
CRITERION = "rankme/projector"


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
    log: Log = log,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run or continue the demo study.

    Args:
        data: SRC. A fifth of the images is kept for the closing check; labels, where there are
            some, are read by nothing else.
        out: study folder; an interrupted study of the same settings goes on.
        labels: CSV file with columns path,label.
        quick: fewer configurations and epochs.
        epochs: of each run; None: 60,000 images seen a run (quick: 12,000), a third less above 16
            pixels a side; two views of each.
        images: how many images at most; None: 6,000 (quick: 2,000).
        workers: runs at a time; None: one a core, at most 8.
        x_key, y_key: names of the arrays in an .npz file.
        log: is told one line at a time what happens.
        stop: asked twice a second; True saves the runs under way and raises Stopped.

    Returns:
        The study, as written to study.json.

    Raises:
        ValueError: for data that cannot be used, or a folder that holds another study.
        Stopped: when `stop` said so; the same call goes on.
    """
    began = time.monotonic()
    folder = Path(out)
    for name, value, least in (
        ("epochs", epochs, 1),
        ("images", images, 20),
        ("workers", workers, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    which = tasks.Data(
        str(data), None if labels is None else str(labels), images or IMAGES[quick], x_key, y_key
    )
    train = tasks.open_divided(which)[0]
    sweeps = QUICK if quick else FULL
    planned = configs(folder, which, sweeps, train, epochs, VIEWS_SEEN[quick])
    if folder.is_file():
        raise ValueError(f"out {folder} is a file; give a new folder")
    workers = workers or min(8, usable_cores())
    with locked(folder):
        claim(folder, which, planned)
        study = _study(folder, which, sweeps, planned, workers, log, stop)
        study |= {
            "seconds": round(time.monotonic() - began, 1),
            "hardware": f"{workers} workers, {usable_cores()} cores, {platform.machine()}",
            "versions": records.versions(),
            "command": command(which, quick, epochs, folder),
        }
        write_json(folder / STUDY, study)
    log.info(f"done      in {duration(study['seconds'])}")
    return study


def _study(
    folder: Path,
    which: tasks.Data,
    sweeps: tuple[Sweep, ...],
    planned: dict[str, Pretrain],
    workers: int,
    log: Log,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """Train, choose, reveal, explain; the study without what is known only at its end."""
    train, test = tasks.open_divided(which)
    described = _told(train, test)
    log.info(
        f"data      {train.name}: {len(train):,} images to train on, {len(test):,} for the closing "
        f"check; labels are hidden until then"
    )
    first = next(iter(planned.values()))
    log.info(
        f"study     {len(planned)} runs of {first.epochs} epochs: "
        + "; ".join(f"{s.method} with {len(s.values)} values of {s.parameter}" for s in sweeps)
        + f"; {len(SEEDS)} seeds each"
    )
    compiled()  # once here, not in each worker at the same time
    with worker_pool(workers, stop) as pool:
        _train_all(pool, which, planned, log)
        groups = _groups(sweeps, folder, {})
        for g in groups:
            log.info(f"chosen    {g['method']}: {g['parameter']} {g['chosen']:g}, by RankMe alone")
        study = {
            "name": folder.resolve().name,
            "title": f"{', '.join(s.method for s in sweeps)} on {train.name}",
            "data": described,
            "criterion": CRITERION,
            "seeds": list(SEEDS),
            "groups": groups,
            "chosen_run": groups[0]["chosen_run"],
            "findings": ["There are no labels: what was chosen cannot be checked against them."],
        }
        if train.labels is not None and test.labels is not None:
            log.info("reveal    the labels: probing every run")
            _reveal(pool, which, sweeps, folder, study, log)
    for name in ("views.png", "neighbours.png"):
        shutil.copy(folder / "runs" / study["chosen_run"] / name, folder / name)
    return study


def _train_all(
    pool: Pool,
    data: tasks.Data,
    planned: dict[str, Pretrain],
    log: Log,
) -> None:
    began = time.monotonic()
    todo = [pool.submit(tasks.pretrain_one, data, config) for config in planned.values()]
    for done, path in enumerate(pool.results(todo), 1):
        run = Run.open(path)
        record = final_record(run, CRITERION)
        assert record is not None
        sd = f" ± {record.sd:.2f}" if record.sd is not None else ""
        spent = time.monotonic() - began
        left = spent / done * (len(planned) - done)
        log.info(
            f"  {done:2d}/{len(planned)}  {run.name:<28} RankMe {record.value:7.2f}{sd}"
            f"   {duration(left)} left"
        )


def _groups(
    sweeps: tuple[Sweep, ...], folder: Path, accuracies: dict[str, float]
) -> list[dict[str, Any]]:
    """Each method judged by RankMe and, where accuracies are known, by what it cost."""
    groups = []
    for sweep in sweeps:
        trials = []
        for value in sweep.values:
            for seed in SEEDS:
                name = run_name(sweep, value, seed)
                record = final_record(Run.open(folder / "runs" / name), CRITERION)
                assert record is not None
                assert isinstance(record.value, float)
                trials.append(Trial(name, value, seed, record.value, accuracies.get(name)))
        groups.append(judged(sweep.method, sweep.parameter, trials))
    return groups


def _reveal(
    pool: Pool,
    data: tasks.Data,
    sweeps: tuple[Sweep, ...],
    folder: Path,
    study: dict[str, Any],
    log: Log,
) -> None:
    """The closing check: accuracies, baselines, regrets and the components of the chosen runs."""
    names = [run["name"] for group in study["groups"] for run in group["runs"]]
    config = Run.open(folder / "runs" / names[0]).resolved_config()
    untrained = pool.submit(
        tasks.accuracy_untrained, data, config.encoder, config.size, list(SEEDS)
    )
    pixels = pool.submit(tasks.accuracy_of_pixels, data, config.size)
    checks = {
        name: pool.submit(tasks.accuracy_of_run, data, str(folder / "runs" / name), SEEDS[0])
        for name in names
    }
    accuracies = {name: pool.result(check)["accuracy/logistic"] for name, check in checks.items()}
    groups = _groups(sweeps, folder, accuracies)
    log.info("explain   the error of the chosen runs")
    components = [
        pool.submit(tasks.components_of_run, str(folder / "runs" / g["chosen_run"]), SEEDS[0])
        for g in groups
    ]
    findings = [g["verdict"] + "." for g in groups]
    for group, part in zip(groups, components, strict=True):
        parts = pool.result(part)
        # without a supervised twin approximation is within usability
        named = {
            "approximation and usability": parts["approximation"] + parts["usability"],
            "probe generalization": parts["probe_generalization"],
            "encoder generalization": parts["encoder_generalization"],
        }
        largest = max(named, key=lambda k: named[k])
        findings.append(
            f"{group['method']}: the error of {group['chosen_run']} is "
            f"{100 * parts['total']:.1f} %; its largest part is {largest} "
            f"({100 * named[largest]:.1f} points)."
        )
    base = pool.result(untrained)
    study["baselines"] = {
        "untrained encoder": float(np.mean(base)),
        "raw pixels": pool.result(pixels),
    }
    best = max(accuracies[g["chosen_run"]] for g in groups)
    findings.append(
        f"For comparison: the same encoder untrained has accuracy {np.mean(base):.3f}, raw pixels "
        f"{study['baselines']['raw pixels']:.3f}, the better of the chosen runs {best:.3f}."
    )
    study["groups"] = groups
    study["findings"] = findings


def _told(train: Source, test: Source) -> dict[str, Any]:
    """What a report says of the data; before the training, so that nothing fails after it."""
    image = _first_image(train)
    colour = "grey" if image.shape[2] == 1 else "colour"
    heights, widths = train.sizes()
    same = len(set(heights.tolist())) == len(set(widths.tolist())) == 1
    size = f"{widths[0]}x{heights[0]}" if same else "various sizes"
    return {
        "name": train.name,
        "n_train": len(train),
        "n_test": len(test),
        "image": f"{size} {colour}",
        "classes": None if train.classes is None else len(train.classes),
    }


def _first_image(source: Source) -> np.ndarray:
    for index in range(len(source)):
        try:
            return source.read(index)
        except UnreadableImage as error:
            last = error
    raise ValueError(f"not one image of {source.name} can be read: {last}")


def closing_table(study: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of the configurations: RankMe, accuracy, both with seed deviations."""
    headers = ["method", "parameter", "RankMe", "seed sd", "accuracy", "seed sd", "chosen"]
    rows = [
        [
            g["method"],
            f"{g['parameter']} {c['value']:g}",
            c["rankme"],
            c["rankme_sd"],
            c["accuracy"],
            c["accuracy_sd"],
            " ".join(
                word
                for word, is_it in (
                    ("by RankMe", c["value"] == g["chosen"]),
                    ("best", c["value"] == g.get("best")),
                )
                if is_it
            ),
        ]
        for g in study["groups"]
        for c in g["configs"]
    ]
    return headers, rows
