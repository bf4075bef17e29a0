"""Adapting published weights to other images: settings, and whether the verdict is right.

    OMP_NUM_THREADS=1 python benchmarks/bench_adapt.py --work adapt --trial trial \\
        --resnet20 resnet20-12fca82f.th --record benchmarks/records/DATE-adapt.md

Every start is trained on without labels on every target, at several settings. The truth is the
logistic probe of all training images on test images, after minus before; the verdicts are those
that `jessl pretrain --init` gives with labels (paired few-shot probes) and without. --trial is the
WORK of benchmarks/selection/train.py, whose images are used. A second call goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


import jessl
from harness import say
from jessl.core.files import write_json
from jessl.data import open_source
from jessl.extraction.extract import extract
from jessl.extraction.open_encoder import open_encoder
from jessl.probes import probe
from jessl.schema import ADAPTATION

EPOCHS, START_EPOCHS = 10, 20
SETTINGS: dict[str, dict[str, object]] = {
    "lr 1": {"lr": 1.0},
    "lr 10": {"lr": 10.0},
    "lr .1": {"lr": 0.1},
    "lr 10, decay .5": {"lr": 10.0, "layer_decay": 0.5},
    "lr 1, decay .5": {"lr": 1.0, "layer_decay": 0.5},
}
DEFAULT_LR = 1.25e-4  # of `jessl pretrain` at the batch size below
BATCH = 32


@dataclass(frozen=True)
class Unit:
    start: str
    target: str
    setting: str
    objective: str
    seed: int

    @property
    def key(self) -> str:
        words = (self.start, self.target, self.setting, self.objective, str(self.seed))
        return "-".join(words).replace(" ", "").replace(",", "_")


def accuracy(encoder, data: Path, target: str) -> float:
    train, test = (
        extract(encoder, None, open_source(data / f"{target}-{s}.npz"), layers=("backbone",))[
            "backbone"
        ]
        for s in ("train", "test")
    )
    return probe(train, test, duplicates=False).accuracy


def run_unit(one: Unit, options: argparse.Namespace, starts: dict[str, dict[str, object]]) -> None:
    data = options.trial / "data"
    folder = options.work / one.key
    shutil.rmtree(folder, ignore_errors=True)
    setting = dict(SETTINGS[one.setting])
    began = time.process_time()
    run = jessl.pretrain(
        jessl.Pretrain(
            data=str(data / f"{one.target}-train.npz"),
            out=str(folder / "run"),
            objective=one.objective,
            epochs=EPOCHS,
            batch_size=BATCH,
            size=32,
            seed=one.seed,
            lr=DEFAULT_LR * float(setting.pop("lr")),
            holdout=200,
            workers=1,
            tune=False,
            online_probes=False,
            **setting,
            **starts[one.start],
        ),
        quiet=True,
    )
    after, _, _ = open_encoder(run)
    before, _, _ = open_encoder(
        starts[one.start]["encoder"], init=starts[one.start]["init"], size=32
    )
    known = options.work / f"before-{one.start}-{one.target}.json"
    if not known.exists():
        write_json(known, accuracy(before, data, one.target))
    result = {
        "before": json.loads(known.read_text()),
        "after": accuracy(after, data, one.target),
        "cpu_seconds": time.process_time() - began,
        "view_retrieval": [r.value for r in run.records() if r.name == "view_retrieval/backbone"],
    }
    result["adaptation"] = next(r.extra for r in run.records() if r.name == ADAPTATION)
    write_json(options.work / f"unit-{one.key}.json", result)
    say(f"{one.key}: {result['before']:.4f} -> {result['after']:.4f}  {result['view_retrieval']}")


def pretrain_start(objective: str, folder: Path, trial: Path) -> None:
    """An encoder of 5,000 images of CIFAR-10, without or with their labels."""
    config = jessl.Pretrain(
        data=str(trial / "data" / "cifar10-train.npz"),
        out=str(folder),
        objective=objective,
        encoder="smallconv:16",
        epochs=START_EPOCHS,
        batch_size=64,
        lr=2e-3,
        size=32,
        workers=1,
        tune=False,
        online_probes=False,
    )
    jessl.pretrain(config, quiet=True)
    (folder / "done").touch()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trial", type=Path, required=True)
    parser.add_argument("--resnet20", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    starts: dict[str, dict[str, object]] = {}
    for objective in ("simclr", "supervised"):
        folder = options.work / f"start-{objective}"
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            pretrain_start(objective, folder, options.trial)
        starts[objective] = {"encoder": "smallconv:16", "init": str(folder)}
    if options.resnet20:
        starts["resnet20"] = {"encoder": "resnet_cifar:20", "init": str(options.resnet20)}
    for seed in range(options.seeds):
        for target in ("fashion", "solar"):
            for setting in SETTINGS:
                for objective in ("vicreg", "simclr"):
                    for start in starts:
                        one = Unit(start, target, setting, objective, seed)
                        if (
                            options.only in one.key
                            and not (options.work / f"unit-{one.key}.json").exists()
                        ):
                            run_unit(one, options, starts)


if __name__ == "__main__":
    main()
