"""What the demo trains: methods, values, seeds, and how much of it."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from jessl.config import Pretrain
from jessl.core.files import LOCK, read_json, write_json
from jessl.data import Source
from jessl.demo.tasks import Data
from jessl.pretraining import defaults

SEEDS = (0, 1)
# of a run whose data set is so small that it would be seen for hours
_MOST_EPOCHS = 400
_LEAST_IMAGES = 20


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
IMAGES = {False: 6_000, True: 2_000}
VIEWS_SEEN = {False: 60_000, True: 12_000}
# an image above 16 pixels a side costs half as much again
_LARGE_PX, _LARGE_SHARE = 16, 2 / 3


def configs(
    folder: Path,
    data: Data,
    sweeps: tuple[Sweep, ...],
    train: Source,
    epochs: int | None,
    seen: int,
) -> dict[str, Pretrain]:
    """The configuration of every run, by name.

    Raises:
        ValueError: for fewer images than anything can be learned from.
    """
    if len(train) < _LEAST_IMAGES:
        raise ValueError(
            f"the demo needs at least {_LEAST_IMAGES} images to train on; {train.name} leaves "
            f"{len(train)}"
        )
    device = torch.device("cpu")
    size = min(32, defaults.default_size(train, device))
    heights, _ = train.sizes()
    # digits and letters are not what they are when flipped
    views: dict[str, int | float] = {"flip": 0} if np.median(heights) < 16 else {}
    seen = round(seen * (_LARGE_SHARE if size > _LARGE_PX else 1.0))
    epochs = epochs or int(np.clip(seen // len(train), 1, _MOST_EPOCHS))
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
        for name in [run_name(sweep, value, seed)]
    }


def run_name(sweep: Sweep, value: float, seed: int) -> str:
    return f"{sweep.method}-{sweep.parameter}{value:g}-s{seed}"


def claim(folder: Path, data: Data, configs: dict[str, Pretrain]) -> None:
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
    if any(p.name != LOCK for p in folder.iterdir()):
        raise ValueError(f"out {folder} is not empty and holds no study; give a new folder")
    write_json(plan_file, wanted)


def command(data: Data, quick: bool, epochs: int | None, folder: Path) -> str:
    parts = ["jessl", "demo", "--data", data.spec, "--out", str(folder)]
    parts += ["--quick"] if quick else []
    parts += ["--epochs", str(epochs)] if epochs else []
    parts += ["--images", str(data.images)] if data.images != IMAGES[quick] else []
    for name in ("labels", "x_key", "y_key"):
        if value := getattr(data, name):
            parts += [f"--{name.replace('_', '-')}", value]
    return shlex.join(parts)
