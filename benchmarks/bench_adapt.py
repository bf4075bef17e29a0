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
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


import jessl
from harness import say, tell
from jessl.core.files import write_json
from jessl.data import open_source
from jessl.encoders import Encoder
from jessl.extraction.extract import extract
from jessl.extraction.open_encoder import open_encoder
from jessl.probes import ProbeResult, probe
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
    """A training from weights."""

    start: str
    target: str
    setting: str
    objective: str
    seed: int

    @property
    def key(self) -> str:
        """Its name on disk."""
        words = (self.start, self.target, self.setting, self.objective, str(self.seed))
        return "-".join(words).replace(" ", "").replace(",", "_")


def full_probe(encoder: Encoder, data: Path, target: str) -> ProbeResult:
    """The logistic probe of all training images, on the test images."""
    train, test = (
        extract(encoder, None, open_source(data / f"{target}-{s}.npz"), layers=("backbone",))[
            "backbone"
        ]
        for s in ("train", "test")
    )
    return probe(train, test, duplicates=False)


def run_unit(one: Unit, options: argparse.Namespace, starts: dict[str, dict[str, object]]) -> None:
    """Train, compare, keep the numbers."""
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
    after = full_probe(open_encoder(run)[0], data, one.target)
    before = before_training(one, options, starts)
    truth = before.minus(after)  # of the errors: after minus before of the accuracies
    result = {
        "before": before.accuracy,
        "after": after.accuracy,
        "truth": [truth.value, truth.low, truth.high],
        "cpu_seconds": time.process_time() - began,
        "adaptation": next(r.extra for r in run.records() if r.name == ADAPTATION),
    }
    write_json(options.work / f"unit-{one.key}.json", result)
    shutil.rmtree(folder)
    say(f"{one.key}: {before.accuracy:.4f} -> {after.accuracy:.4f}")


_BEFORE: dict[tuple[str, str], ProbeResult] = {}


def before_training(
    one: Unit, options: argparse.Namespace, starts: dict[str, dict[str, object]]
) -> ProbeResult:
    """The probe of the weights that a unit begins with, once a process."""
    key = (one.start, one.target)
    if key not in _BEFORE:
        start = starts[one.start]
        encoder, _, _ = open_encoder(str(start["encoder"]), init=str(start["init"]), size=32)
        _BEFORE[key] = full_probe(encoder, options.trial / "data", one.target)
    return _BEFORE[key]


def conclusion(low: float, high: float) -> str:
    """What an interval of after minus before says."""
    return "better" if low > 0 else "worse" if high < 0 else "cannot be distinguished"


def table(wanted: list[Unit], work: Path) -> list[str]:
    """A row a unit, and how often each conclusion agrees with the truth."""
    rows = [
        "| start | images | setting | all labels, after minus before | 5 labels a class | view "
        "retrieval |",
        "|---|---|---|---:|---:|---:|",
    ]
    counts: dict[str, Counter[tuple[str, str]]] = {"5 labels": Counter(), "views": Counter()}
    for one in wanted:
        path = work / f"unit-{one.key}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        d = result["adaptation"]["few_shot"]["difference"]
        spans = {
            "5 labels": (d["value"], d["low"], d["high"]),
            "views": tuple(result["adaptation"]["view_retrieval"]),
        }
        truth = result["truth"]
        for name, (_, low, high) in spans.items():
            counts[name][conclusion(*truth[1:]), conclusion(low, high)] += 1
        cells = (points(*truth), *(points(*span) for span in spans.values()))
        rows.append(f"| {one.start} | {one.target} | {one.setting} | {' | '.join(cells)} |")
    kinds = ("better", "worse", "cannot be distinguished")
    rows += ["", f"| truth | judge | {' | '.join(kinds)} |", "|---|---|---:|---:|---:|"]
    rows += [
        f"| {t} | {name} | {' | '.join(str(counts[name][t, k]) for k in kinds)} |"
        for t in kinds
        for name in counts
    ]
    return rows


def points(value: float, low: float, high: float) -> str:
    """An interval in points."""
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


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
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trial", type=Path, required=True)
    parser.add_argument("--resnet20", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="units whose key contains this")
    parser.add_argument("--record", help="a .md file to write")
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
    wanted = [
        Unit(start, target, setting, objective, seed)
        for seed in range(options.seeds)
        for target in ("fashion", "solar")
        for setting in SETTINGS
        for objective in ("vicreg", "simclr")
        for start in starts
    ]
    wanted = [one for one in wanted if options.only in one.key]
    for one in wanted:
        if not (options.work / f"unit-{one.key}.json").exists():
            run_unit(one, options, starts)
    tell(
        "Adapting weights to other images",
        ("jessl", "torch", "numpy"),
        table(wanted, options.work),
        options.record,
    )


if __name__ == "__main__":
    main()
