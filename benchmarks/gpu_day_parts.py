"""The parts of the GPU day; each writes a JSON line for every row as soon as it has it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bench_gpu
import jessl
from jessl import recipes
from jessl.core.interruption import Stopped
from jessl.data import Source, unlabelled
from jessl.objectives import CONFIGS

# a teacher would have to be given
METHODS = sorted(name for name, c in CONFIGS.items() if not c().build(8).target_dim)
GOALS = (0.80, 0.85, 0.90)
# for data with few classes and images
_OPTIONS: dict[str, dict[str, Any]] = {
    "dissl": {"classes": 1024},
    "dino": {"prototypes": 512},
    "swav": {"prototypes": 256},
}


class Rows:
    """A file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **row: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def run(name: str, args: argparse.Namespace, path: Path) -> None:
    """Run a part; args are those of gpu_day."""
    parts: dict[str, Callable[[argparse.Namespace, Rows], None]] = {
        "speedrun": speedrun,
        "objectives": objectives,
        "views": views,
        "judging": judging,
    }
    parts[name](args, Rows(path))


def _train_and_test(data: str) -> tuple[Source, Source]:
    """Both sets of NAME (its splits), or of TRAIN,TEST."""
    train, comma, test = data.partition(",")
    if comma:
        return jessl.open_source(train), jessl.open_source(test)
    if train.startswith(("torchvision:", "hf:")):
        return jessl.open_source(f"{train}:train"), jessl.open_source(f"{train}:test")
    whole = jessl.open_source(train)
    return whole, whole


def speedrun(args: argparse.Namespace, rows: Rows) -> None:
    """Seconds of training until a linear probe on the test images reaches each goal."""
    train, test = _train_and_test(args.data)
    config = recipes.named("speedrun_cifar10", args.data)
    if args.quick:
        config = dataclasses.replace(
            config, encoder="airbench:4", size=16, epochs=1, batch_size=32, compile=False,
            warmup_epochs=0.5, objective_options={"temperature": 0.2, "projector": "32-16"},
        )  # fmt: skip
    until = time.monotonic() + 0.9 * args.seconds
    with tempfile.TemporaryDirectory() as folder:
        # every run has the learning rate fall to its end: a longer one is another training
        for epochs in [config.epochs] if args.quick else [config.epochs // 10, config.epochs // 3,
                                                          config.epochs]:  # fmt: skip
            one = dataclasses.replace(
                config, out=str(Path(folder) / str(epochs)), epochs=epochs, device=args.device,
                holdout=0, evaluate_epochs=0, online_probes=False, tune=False,
                checkpoint_epochs=epochs, warmup_epochs=min(config.warmup_epochs or 0, epochs / 5),
            )  # fmt: skip
            try:
                run = jessl.pretrain(
                    one, source=unlabelled(train), quiet=True,
                    stop=lambda: time.monotonic() > until,
                )  # fmt: skip
            except Stopped:
                rows.add(epochs=epochs, seconds=None, linear=None, reached="no time left")
                return
            seconds = max(r.seconds for r in run.records() if r.name == "loss")
            both = [jessl.embed(run, part, device=args.device) for part in (train, test)]
            linear = jessl.probe(*both, kind="logistic", device=args.device, C=0.1).accuracy
            reached = ", ".join(f"{goal:.0%}" for goal in GOALS if linear >= goal) or "none"
            rows.add(epochs=epochs, seconds=seconds, linear=linear, reached=reached)


def objectives(args: argparse.Namespace, rows: Rows) -> None:
    """Images a second of an epoch of every objective, on random images that lie on the device."""
    n, size, batch = (64, 16, 32) if args.quick else (50_000, 32, 512)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "x.npz", x=images, y=np.arange(n) % 10)
        # quick: one with a teacher, one with labels
        for name in ("dino", "supervised") if args.quick else METHODS:
            options = {} if not args.quick else {"projector": "32-16"}
            config = jessl.Pretrain(
                data=str(Path(folder) / "x.npz"), out=str(Path(folder) / name), objective=name,
                encoder="smallconv:4" if args.quick else "airbench", size=size, epochs=1,
                batch_size=batch, device=args.device, holdout=0, evaluate_epochs=0,
                online_probes=False, tune=False, warmup_epochs=0.0, log_steps=10_000,
                objective_options={**_OPTIONS.get(name, {}), **options},
            )  # fmt: skip
            since = time.perf_counter()
            run = jessl.pretrain(config, quiet=True)
            loss = next(r for r in run.records() if r.name == "loss")
            rows.add(
                objective=name,
                images_per_second=n / loss.seconds,
                loss=loss.value,
                seconds_with_evaluation=time.perf_counter() - since,
            )


def views(args: argparse.Namespace, rows: Rows) -> None:
    """The parts of bench_gpu that need no photographs."""
    options = argparse.Namespace(
        batch_size=4 if args.quick else 256,
        rounds=1 if args.quick else 7,
        encoder="smallconv:4" if args.quick else "torchvision:resnet50",
        side=32 if args.quick else 224,
    )
    device = torch.device(args.device)
    for part in (bench_gpu.equality, bench_gpu.rates, bench_gpu.step):
        for row in part(options, device):
            rows.add(**row)


def judging(args: argparse.Namespace, rows: Rows) -> None:
    """Seconds of scores and probes, rows on the device beside rows on the host."""
    n, d, classes = (400, 16, 4) if args.quick else (50_000, 2048, 100)
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = rng.standard_normal((n, d), np.float32)
    x += rng.standard_normal((classes, d), np.float32)[y]
    moved = torch.from_numpy(x).to(args.device)
    half = n // 2
    train, test = jessl.Embeddings(x[:half], y[:half]), jessl.Embeddings(x[half:], y[half:])
    works: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "rankme": (lambda: jessl.rankme(moved), lambda: jessl.rankme(x)),
        "rankme, jackknife": (lambda: jessl.score(moved), lambda: jessl.score(x)),
        "spectrum, one update": (
            lambda: jessl.Spectrum(d).update(moved),
            lambda: jessl.Spectrum(d).update(x),
        ),
    }
    for kind, options in {
        "knn": {},
        "logistic": {"C": 0.01},
        "mlp": {"hidden": "16" if args.quick else "2048", "epochs": 1, "weight_decay": 1.0},
    }.items():
        works[f"probe, {kind}"] = tuple(
            lambda k=kind, o=options, on=on: jessl.probe(train, test, kind=k, device=on, **o)
            for on in (args.device, "cpu")
        )
    for name, (on_device, on_host) in works.items():
        # a host that takes minutes would take the day; the device is measured first
        here = _median_seconds(on_device, 1 if args.quick else 3)
        there = _median_seconds(on_host, 1) if args.quick or "probe" not in name else None
        rows.add(work=name, rows=n, features=d, device_seconds=here, host_seconds=there)


def _median_seconds(work: Callable[[], Any], rounds: int) -> float:
    """All of these works end on the host, so that the device is done when they return."""
    times = []
    for _ in range(rounds):
        since = time.perf_counter()
        work()
        times.append(time.perf_counter() - since)
    return statistics.median(times)
