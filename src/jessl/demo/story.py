"""The whole story on real images: train, judge without labels, choose, reveal, explain."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jessl import records
from jessl.config import Pretrain
from jessl.data import Source, UnreadableImage
from jessl.demo import tasks
from jessl.demo.findings import Trial, judged
from jessl.demo.pool import Pool, worker_pool
from jessl.files import read_json, write_json
from jessl.pretraining import plan
from jessl.pretraining.progress import duration, say
from jessl.runs import Run
from jessl.study import final_record

STUDY = "study.json"
SEEDS = (0, 1)
CRITERION = "rankme/projector"


@dataclass(frozen=True)
class Sweep:
    """One method and the values of the parameter that is swept."""

    method: str
    parameter: str
    values: tuple[float, ...]


# the weights and temperatures reach from far too small to far too large, as in RankMe's figures
FULL = (
    Sweep("vicreg", "cov", (0.01, 1.0, 10.0, 100.0)),
    Sweep("simclr", "temperature", (0.05, 0.15, 0.5, 2.0)),
)
QUICK = (
    Sweep("vicreg", "cov", (0.01, 1.0)),
    Sweep("simclr", "temperature", (0.15, 2.0)),
)
# images and epochs that two cores train on in the time the command promises
_IMAGES = {False: 6_000, True: 2_000}
_VIEWS_SEEN = {False: 60_000, True: 12_000}


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
    tell: Callable[[str], None] = say,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run or continue the demo study.

    Args:
        data: SRC. A fifth of the images is kept for the closing check; labels, where there are
            some, are read by nothing else.
        out: study folder; an interrupted study of the same settings goes on.
        labels: CSV file with columns path,label.
        quick: fewer configurations and epochs.
        epochs: of each run; None: 60,000 images seen a run (quick: 12,000), two views of each.
        images: how many images at most; None: 6,000 (quick: 2,000).
        workers: runs at a time; None: one a core, at most 8.
        x_key, y_key: names of the arrays in an .npz file.
        tell: is told one line at a time what happens.
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
        str(data), None if labels is None else str(labels), images or _IMAGES[quick], x_key, y_key
    )
    train, test = tasks.open_divided(which)
    described = _told(train, test)
    sweeps = QUICK if quick else FULL
    configs = _configs(folder, which, sweeps, train, epochs, _VIEWS_SEEN[quick])
    _claim(folder, which, configs)
    tell(
        f"data      {train.name}: {len(train):,} images to train on, {len(test):,} for the closing "
        f"check; labels are hidden until then"
    )
    first = next(iter(configs.values()))
    tell(
        f"study     {len(configs)} runs of {first.epochs} epochs: "
        + "; ".join(f"{s.method} with {len(s.values)} values of {s.parameter}" for s in sweeps)
        + f"; {len(SEEDS)} seeds each"
    )
    workers = workers or min(8, os.cpu_count() or 1)
    with worker_pool(workers, stop) as pool:
        _train_all(pool, which, configs, tell, began)
        groups = _groups(sweeps, folder, {})
        for g in groups:
            tell(f"chosen    {g['method']}: {g['parameter']} {g['chosen']:g}, by RankMe alone")
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
            tell("reveal    the labels: probing every run")
            _reveal(pool, which, sweeps, folder, study, tell)
    for name in ("views.png", "neighbours.png"):
        shutil.copy(folder / "runs" / study["chosen_run"] / name, folder / name)
    study |= {
        "seconds": round(time.monotonic() - began, 1),
        "hardware": f"{workers} workers, {os.cpu_count()} cores, {platform.machine()}",
        "versions": records.versions(),
        "command": _command(which, quick, epochs, folder),
    }
    write_json(folder / STUDY, study)
    tell(f"done      in {duration(study['seconds'])}")
    return study


def _configs(
    folder: Path,
    data: tasks.Data,
    sweeps: tuple[Sweep, ...],
    train: Any,
    epochs: int | None,
    seen: int,
) -> dict[str, Pretrain]:
    """The configuration of every run, by name."""
    device = torch.device("cpu")
    size = min(32, plan.default_size(train, device))
    heights, _ = train.sizes()
    # digits and letters are not what they are when flipped
    views: dict[str, int | float] = {"flip": 0} if np.median(heights) < 16 else {}
    epochs = epochs or max(1, seen // len(train))
    return {
        name: Pretrain(
            data=data.spec,
            labels=data.labels,
            x_key=data.x_key,
            y_key=data.y_key,
            out=str(folder / "runs" / name),
            resume=True,
            objective=sweep.method,
            objective_options={sweep.parameter: value},
            encoder="smallconv:16",
            size=size,
            view_options=views,
            epochs=epochs,
            batch_size=min(256, max(2, len(train) // 4)),
            lr=2e-3,
            seed=seed,
            holdout=0,
            evaluate_epochs=max(1, epochs // 6),
            checkpoint_epochs=max(1, epochs // 2),
            keep_checkpoints=1,
            workers=1,
            device="cpu",
        )
        for sweep in sweeps
        for value in sweep.values
        for seed in SEEDS
        for name in [_run_name(sweep, value, seed)]
    }


def _run_name(sweep: Sweep, value: float, seed: int) -> str:
    return f"{sweep.method}-{sweep.parameter}{value:g}-s{seed}"


def _claim(folder: Path, data: tasks.Data, configs: dict[str, Pretrain]) -> None:
    """Refuse a folder that holds something else than this very study."""
    plan_file = folder / "plan.json"
    wanted = {
        "data": asdict(data),
        "runs": {n: {**c.as_json(), "out": n} for n, c in configs.items()},
    }
    if plan_file.exists():
        if read_json(plan_file) != wanted:
            raise ValueError(f"out {folder} holds a study with other settings; give another folder")
        return
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise ValueError(f"out {folder} is not empty and holds no study; give a new folder")
    write_json(plan_file, wanted)


def _train_all(
    pool: Pool,
    data: tasks.Data,
    configs: dict[str, Pretrain],
    tell: Callable[[str], None],
    began: float,
) -> None:
    todo = [pool.submit(tasks.pretrain_one, data, config) for config in configs.values()]
    for done, path in enumerate(pool.results(todo), 1):
        run = Run.open(path)
        record = final_record(run, CRITERION)
        assert record is not None
        sd = f" ± {record.sd:.2f}" if record.sd is not None else ""
        spent = time.monotonic() - began
        left = spent / done * (len(configs) - done)
        tell(
            f"  {done:2d}/{len(configs)}  {run.name:<28} RankMe {record.value:7.2f}{sd}"
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
                name = _run_name(sweep, value, seed)
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
    tell: Callable[[str], None],
) -> None:
    """The closing check: accuracies, baselines, regrets and the components of the chosen runs."""
    names = [run["name"] for group in study["groups"] for run in group["runs"]]
    config = Run.open(folder / "runs" / names[0]).chosen()
    assert config.encoder is not None
    assert config.size is not None
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
    tell("explain   the error of the chosen runs")
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


def _command(data: tasks.Data, quick: bool, epochs: int | None, folder: Path) -> str:
    parts = ["jessl demo", f"--data {data.spec}", f"--out {folder}"]
    parts += ["--quick"] if quick else []
    parts += [f"--epochs {epochs}"] if epochs else []
    parts += [f"--images {data.images}"] if data.images != _IMAGES[quick] else []
    for name in ("labels", "x_key", "y_key"):
        if value := getattr(data, name):
            parts.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(parts)


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
