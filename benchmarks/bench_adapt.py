"""Adapting published weights to other images: settings, and whether the verdict is right.

    OMP_NUM_THREADS=1 python benchmarks/bench_adapt.py --work adapt --trial trial \\
        --resnet20 resnet20-12fca82f.th --resnet50 imgsim/model.pth --solar WHEEL --photos FOLDER \\
        --part confirmation --seeds 3 --record benchmarks/records/DATE-adapt.md

Every start is trained on without labels on every target. The truth is the logistic probe of all
training images on test images, after minus before; the verdicts are those that
`jessl pretrain --init` gives with labels (paired few-shot probes) and without (view retrieval).

The settings are chosen on --part development (two small encoders of CIFAR-10, on Fashion-MNIST and
solar cells, one seed) and tried on --part confirmation: published encoders, and beside them the
same encoder from random weights, and distilled from the published one.

--trial is the WORK of benchmarks/selection/train.py, whose images are used; WHEEL is that of
elpv-dataset 1.0.0, FOLDER one that photo_classes.py made. A second call goes on.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import sys
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from PIL import Image

import jessl
from harness import say, tell
from jessl.core.files import atomic_write, write_json
from jessl.data import open_source
from jessl.encoders import Encoder
from jessl.extraction.extract import extract
from jessl.extraction.open_encoder import open_encoder
from jessl.probes import ProbeResult, probe
from jessl.schema import ADAPTATION

START_EPOCHS = 20
DEFAULT_LR = 1.25e-4  # of `jessl pretrain` at the batch size below
BATCH = 32
SETTINGS: dict[str, dict[str, object]] = {
    "lr 1": {"lr": 1.0},
    "lr 10": {"lr": 10.0},
    "lr .1": {"lr": 0.1},
    "lr 10, decay .5": {"lr": 10.0, "layer_decay": 0.5},
    "lr 1, decay .5": {"lr": 1.0, "layer_decay": 0.5},
    "lr 30": {"lr": 30.0},
    "lr 10, anchor 10": {"lr": 10.0, "anchor": 10.0},
    "lr 10, frozen 2": {"lr": 10.0, "frozen_epochs": 2.0},
}
SCRATCH, DISTILLED = "from random weights", "distilled"
CONFIRMED = ("lr 1", "lr 10", SCRATCH, DISTILLED)


@dataclass(frozen=True)
class Start:
    """Weights to begin with, and how long a training from them is.

    Attributes:
        spec: encoder of `jessl pretrain`; init: its weights; teacher: both as an encoder's name.
        student: the encoder that is distilled from it.
        epochs: by target; px: side of the views.
    """

    spec: str
    init: str
    teacher: str
    student: str
    px: int
    epochs: dict[str, int]
    stem: str | None = None


@dataclass(frozen=True)
class Unit:
    """A training."""

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


@dataclass(frozen=True)
class Study:
    """Where everything is."""

    work: Path
    starts: dict[str, Start]
    before: dict[tuple[str, str], ProbeResult]

    def images(self, target: str, split: str) -> Path:
        """The images of a target."""
        return self.work / "data" / f"{target}-{split}.npz"

    def full_probe(self, encoder: Encoder, target: str) -> ProbeResult:
        """The logistic probe of all training images, on the test images."""
        train, test = (
            extract(encoder, None, open_source(self.images(target, s)), layers=("backbone",))[
                "backbone"
            ]
            for s in ("train", "test")
        )
        return probe(train, test, duplicates=False)

    def before_training(self, one: Unit) -> ProbeResult:
        """The probe of the weights that a unit begins with, once a process."""
        key = (one.start, one.target)
        if key not in self.before:
            own = self.starts[one.start]
            encoder, _, _ = open_encoder(own.spec, init=own.init, size=own.px, stem=own.stem)
            self.before[key] = self.full_probe(encoder, one.target)
        return self.before[key]

    def config(self, one: Unit) -> jessl.Pretrain:
        """The training of a unit."""
        start = self.starts[one.start]
        options: dict[str, object] = {"encoder": start.spec, "objective": one.objective}
        if one.setting == DISTILLED:
            options |= {"encoder": start.student, "objective": "distill", "teacher": start.teacher}
        elif one.setting != SCRATCH:
            options["init"] = start.init
        if one.setting != DISTILLED:
            options["stem"] = start.stem
        setting = dict(SETTINGS.get(one.setting, {"lr": 10.0}))
        options["lr"] = DEFAULT_LR * float(setting.pop("lr"))
        return jessl.Pretrain(
            data=str(self.images(one.target, "train")),
            out=str(self.work / one.key / "run"),
            epochs=start.epochs[one.target],
            batch_size=BATCH,
            size=start.px,
            seed=one.seed,
            holdout=min(200, len(open_source(self.images(one.target, "train"))) // 4),
            workers=1,
            evaluate_epochs=0,
            tune=False,
            online_probes=False,
            **options,
            **setting,
        )

    def run(self, one: Unit) -> None:
        """Train, compare, keep the numbers."""
        folder = self.work / one.key
        shutil.rmtree(folder, ignore_errors=True)
        began = time.process_time()
        run = jessl.pretrain(self.config(one), quiet=True)
        trained = time.process_time() - began
        after = self.full_probe(open_encoder(run)[0], one.target)
        before = self.before_training(one)
        truth = before.minus(after)  # of the errors: after minus before of the accuracies
        judged = [r.extra for r in run.records() if r.name == ADAPTATION]
        result = {
            "before": before.accuracy,
            "after": after.accuracy,
            "truth": [truth.value, truth.low, truth.high],
            "cpu_seconds": trained,
            "adaptation": judged[0] if judged else None,
        }
        write_json(self.work / f"unit-{one.key}.json", result)
        shutil.rmtree(folder)
        say(f"{one.key}: {before.accuracy:.4f} -> {after.accuracy:.4f}, {trained:.0f} CPU seconds")


def conclusion(low: float, high: float) -> str:
    """What an interval of after minus before says."""
    return "better" if low > 0 else "worse" if high < 0 else "cannot be distinguished"


def table(wanted: list[Unit], work: Path) -> list[str]:
    """A row a unit, and how often each conclusion agrees with the truth."""
    rows = [
        "| start | images | setting | seed | before | after | all labels, after minus before | "
        "5 labels a class | view retrieval |",
        "|---|---|---|---|---:|---:|---:|---:|---:|",
    ]
    counts: dict[str, Counter[tuple[str, str]]] = {"5 labels": Counter(), "views": Counter()}
    for one in wanted:
        path = work / f"unit-{one.key}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        truth = result["truth"]
        spans: dict[str, tuple[float, float, float] | None] = dict.fromkeys(counts)
        if judged := result["adaptation"]:
            if judged["few_shot"] is not None:
                d = judged["few_shot"]["difference"]
                spans["5 labels"] = d["value"], d["low"], d["high"]
            if judged["view_retrieval"] is not None:
                spans["views"] = tuple(judged["view_retrieval"])
        for name, span in spans.items():
            if span is not None:
                counts[name][conclusion(*truth[1:]), conclusion(*span[1:])] += 1
        numbers = f"{100 * result['before']:.1f} | {100 * result['after']:.1f}"
        cells = [points(*truth), *("-" if s is None else points(*s) for s in spans.values())]
        rows.append(
            f"| {one.start} | {one.target} | {one.setting} | {one.seed} | {numbers} | "
            f"{' | '.join(cells)} |"
        )
    kinds = ("better", "worse", "cannot be distinguished")
    rows += ["", f"| truth | judge | {' | '.join(kinds)} |", "|---|---|---:|---:|---:|"]
    rows += [
        f"| {t} | {name} | {' | '.join(str(counts[name][t, k]) for k in kinds)} |"
        for t in kinds
        for name in counts
    ]
    return rows


def summary(wanted: list[Unit], work: Path) -> list[str]:
    """After minus before by all labels, mean and spread over the seeds."""
    rows = [
        "",
        "| start | images | setting | seeds | after minus before, mean | sd | CPU seconds |",
    ]
    rows.append("|---|---|---|---:|---:|---:|---:|")
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for one in wanted:
        path = work / f"unit-{one.key}.json"
        if path.exists():
            result = json.loads(path.read_text())
            values = groups.setdefault((one.start, one.target, one.setting), [])
            values.append((100 * result["truth"][0], result["cpu_seconds"]))
    for names, values in groups.items():
        gains = [gain for gain, _ in values]
        sd = f"{statistics.stdev(gains):.1f}" if len(gains) > 1 else "-"
        seconds = statistics.median(s for _, s in values)
        rows.append(
            f"| {' | '.join(names)} | {len(gains)} | {statistics.fmean(gains):+.1f} | {sd} | "
            f"{seconds:.0f} |"
        )
    return rows


def points(value: float, low: float, high: float) -> str:
    """An interval in points."""
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def write_images(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    """An .npz file, whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, x=x, y=y)


def prepare(options: argparse.Namespace) -> None:
    """WORK/data: the images of the trial, 1,000 of each to train on, and larger ones."""
    data = options.work / "data"
    for target in ("fashion", "solar", "cifar10"):
        for split in ("train", "test"):
            with np.load(options.trial / "data" / f"{target}-{split}.npz") as held:
                x, y = held["x"], held["y"]
            if not (data / f"{target}-{split}.npz").exists():
                write_images(data / f"{target}-{split}.npz", x, y)
                write_images(data / f"{target}1000-{split}.npz", x[:1000], y[:1000])
    if options.solar and not (data / "solar64-test.npz").exists():
        x, y = solar_cells(options.solar, 64)
        write_images(data / "solar64-train.npz", x[:600], y[:600])
        write_images(data / "solar64-test.npz", x[-624:], y[-624:])
    if options.photos and not (data / "photos96-test.npz").exists():
        source = open_source(options.photos)
        x = np.stack([square(source.read(i), 96) for i in range(len(source))])
        order = np.random.default_rng(0).permutation(len(x))
        x, y, half = x[order], np.asarray(source.labels)[order], len(order) // 2
        write_images(data / "photos96-train.npz", x[:half], y[:half])
        write_images(data / "photos96-test.npz", x[half:], y[half:])


def square(image: np.ndarray, side: int) -> np.ndarray:
    """The central square of an image at another size."""
    edge = min(image.shape[:2])
    top, left = ((n - edge) // 2 for n in image.shape[:2])
    whole = Image.fromarray(image[top : top + edge, left : left + edge])
    return np.asarray(whole.resize((side, side), Image.Resampling.BOX))


def solar_cells(wheel: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """All photographs of solar cells, shuffled, and whether each has a defect."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        lines = archive.read(next(n for n in names if n.endswith("labels.csv"))).decode()
        rows = [line.split() for line in lines.splitlines() if line.strip()]
        images = []
        for path, *_ in rows:
            inside = archive.read(next(n for n in names if n.endswith(path)))
            images.append(square(np.asarray(Image.open(io.BytesIO(inside)).convert("L")), side))
    y = np.array([int(float(probability) > 0.5) for _, probability, *_ in rows])
    order = np.random.default_rng(0).permutation(len(images))
    return np.stack(images)[order], y[order]


def small_start(objective: str, options: argparse.Namespace) -> Start:
    """An encoder of 5,000 images of CIFAR-10, without or with their labels; trained once."""
    folder = options.work / f"start-{objective}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        config = jessl.Pretrain(
            data=str(options.trial / "data" / "cifar10-train.npz"),
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
    return Start(
        "smallconv:16", str(folder), str(folder), "smallconv:16", 32, {"fashion": 10, "solar": 10}
    )


def parts(options: argparse.Namespace) -> tuple[dict[str, Start], list[Unit]]:
    """The starts, and the trainings from them, in order."""
    if options.part == "development":
        starts = {name: small_start(name, options) for name in ("simclr", "supervised")}
        settings, seeds = tuple(SETTINGS), 1
    else:
        starts = {}
        settings, seeds = CONFIRMED, options.seeds
        if options.resnet20:
            file, epochs = str(options.resnet20), {"fashion1000": 5, "cifar101000": 5}
            starts["ResNet-20"] = Start(
                "resnet_cifar:20", file, f"ckpt:{file}", "resnet_cifar:20", 32, epochs
            )
        if options.resnet50:
            file, epochs = str(options.resnet50), {}
            if options.solar:
                epochs["solar64"] = 2
            if options.photos:
                epochs["photos96"] = 8
            spec = "torchvision:resnet50"
            starts["ResNet-50"] = Start(
                spec, file, f"ckpt:{file}@{spec}", "smallconv:32", 64, epochs, "standard"
            )
    wanted = [
        Unit(name, target, setting, "vicreg", seed)
        for seed in range(seeds)
        for name, start in starts.items()
        for target in start.epochs
        for setting in settings
    ]
    return starts, [one for one in wanted if options.only in one.key]


def main(argv: list[str] | None = None) -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trial", type=Path, required=True)
    parser.add_argument("--part", choices=("development", "confirmation"), required=True)
    parser.add_argument("--resnet20", type=Path)
    parser.add_argument("--resnet50", type=Path)
    parser.add_argument("--solar", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="units whose key contains this")
    parser.add_argument("--finished", action="store_true", help="train nothing more")
    parser.add_argument("--record", help="a .md file to write")
    options = parser.parse_args(argv)
    prepare(options)
    starts, wanted = parts(options)
    study = Study(options.work, starts, {})
    for one in wanted:
        if not options.finished and not (options.work / f"unit-{one.key}.json").exists():
            study.run(one)
    tell(
        "Adapting weights to other images",
        ("jessl", "torch", "numpy"),
        table(wanted, options.work) + summary(wanted, options.work),
        options.record,
    )


if __name__ == "__main__":
    main()
