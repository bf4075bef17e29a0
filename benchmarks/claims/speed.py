"""What loading and a growing resolution each save of the time to an accuracy.

    python benchmarks/claims/speed.py democratizing-speed --data DIR --quick

DIR has cifar10-train.npz and cifar10-test.npz, else torchvision downloads them. One process trains
on one thread and one loads. Network, objective, optimizer, schedule, weights at the beginning and
the views' distribution are the same; only what brings the batches differs: torchvision's
transforms in a torch DataLoader, jessl's Loader, and the same with a resolution that grows as in
FFCV-SSL's recipe. Their epochs take turns, so that what else the machine does slows all alike; the
test between two epochs is not counted.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from script import Options, Outcome, main

from jessl.claims.decision import MORE, ClaimPart
from jessl.claims.experiments import DataSet
from jessl.claims.intervals import over_repetitions
from jessl.claims.units import Images, open_images
from jessl.data import Source
from jessl.data.loading.loader import Loader
from jessl.embeddings import Embeddings
from jessl.encoders import build_encoder
from jessl.objectives import build_objective
from jessl.probes.probe import probe
from jessl.training.progressive_resize import side
from jessl.views import presets
from rivals_photos import MEAN, STD
from rivals_small import _Samples, _TorchvisionPil

SIZE, START_SIZE, BATCH, TRAIN_IMAGES, TEST_IMAGES = 32, 16, 128, 5_000, 2_000
SEEDS = range(3)
# encoder -> epochs; the second takes 16 times as long a step
ENCODERS = {"smallconv:16": 12, "resnet_cifar:20": 6}
TORCHVISION, OURS, GROWING = "torchvision", "jessl", "jessl, growing resolution"
# of the way from the untrained encoder to the end of the training with torchvision's views
TARGET_SHARE = 0.8
# smallest ratio of times of interest, less 1
SMALLEST = 0.25

Batches = Callable[[int], Iterable[Any]]


@dataclass
class Training:
    """One arm: what it trains, the seconds and the accuracy after each epoch."""

    encoder: torch.nn.Module
    objective: torch.nn.Module
    batches: Batches
    epochs: int
    seconds: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        weights = [*self.encoder.parameters(), *self.objective.parameters()]
        self.optimizer = torch.optim.AdamW(weights, 2e-3, weight_decay=1e-2)
        steps = self.epochs * (TRAIN_IMAGES // BATCH)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)

    def train_epoch(self, epoch: int) -> None:
        """One epoch, the clock included."""
        self.encoder.train()
        began = time.perf_counter()
        for views in self.batches(epoch):
            z = self.encoder(torch.cat(list(views))).unflatten(0, (len(views), -1))
            self.optimizer.zero_grad()
            self.objective.loss(z).total.backward()
            self.optimizer.step()
            self.schedule.step()
        self.seconds.append(time.perf_counter() - began)

    def seconds_to(self, target: float) -> float:
        """Training seconds to an accuracy, linear between epochs; NaN if it was not reached."""
        clock = np.concatenate([[0.0], np.cumsum(self.seconds)])
        for k in range(1, len(self.accuracy)):
            before, after = self.accuracy[k - 1], self.accuracy[k]
            if after >= target:
                share = max(0.0, (target - before) / (after - before)) if after > before else 1.0
                return float(clock[k - 1] + share * (clock[k] - clock[k - 1]))
        return math.nan


def speed(options: Options) -> Outcome:
    """Ratios of times: torchvision over jessl, jessl over growing, torchvision over growing."""
    torch.set_num_threads(1)
    described = DataSet(
        "cifar10",
        "torchvision:CIFAR10:train",
        "torchvision:CIFAR10:test",
        TRAIN_IMAGES,
        TEST_IMAGES,
        {},
        True,
    )
    images = open_images(described, options.data, 0.2)
    parts, notes, body = [], [], []
    missing: list[str] = []
    encoders = list(ENCODERS)[: 1 if options.quick else None]
    for encoder in encoders:
        runs = [_trainings(encoder, images, seed) for seed in SEEDS]
        target = _target(runs)
        notes.append(f"{encoder}: the time to a linear accuracy of {100 * target:.1f} %")
        body += _table(encoder, runs, target)
        for slow, fast in ((TORCHVISION, OURS), (OURS, GROWING), (TORCHVISION, GROWING)):
            to_target = [
                one[slow].seconds_to(target) / one[fast].seconds_to(target) for one in runs
            ]
            whole = [sum(one[slow].seconds) / sum(one[fast].seconds) for one in runs]
            rule = MORE if fast == GROWING and slow == TORCHVISION else None
            name = f"time with {slow} over time with {fast}, less 1, {encoder}"
            for what, ratios, by in (
                ("to the accuracy", to_target, rule),
                ("whole training", whole, None),
            ):
                if np.isfinite(ratios).all():
                    parts.append(_part(f"{name}, {what}", ratios, by))
                else:
                    missing.append(f"{name}, {what}: not reached with every seed")
    missing += [f"time to the accuracy, {e}" for e in ENCODERS if e not in encoders]
    return Outcome(parts, notes, body, missing, options.quick)


def _trainings(name: str, images: Images, seed: int) -> dict[str, Training]:
    """All arms with one seed, their epochs in turn."""
    epochs = ENCODERS[name]
    arms: dict[str, Training] = {}
    for arm, make in (
        (TORCHVISION, _torchvision),
        (OURS, _ours),
        (GROWING, lambda source, seed, epochs: _ours(source, seed, epochs, START_SIZE)),
    ):
        torch.manual_seed(seed)
        encoder = build_encoder(name)
        objective = build_objective("simclr", encoder.dim, {"temperature": 0.2})
        arms[arm] = Training(encoder, objective, make(images.train, seed, epochs), epochs)
    for one in arms.values():
        one.accuracy.append(_accuracy(one.encoder, images))
    for epoch in range(epochs):
        for arm, one in arms.items():
            one.train_epoch(epoch)
            one.accuracy.append(_accuracy(one.encoder, images))
            print(
                f"{name}, seed {seed}, epoch {epoch}, {arm}: {one.seconds[-1]:.1f} s, "
                f"{100 * one.accuracy[-1]:.1f} %",
                flush=True,
            )
    return arms


def _torchvision(source: Source, seed: int, epochs: int) -> Batches:
    """Pillow images through torchvision's transforms in one process of a torch DataLoader."""
    del epochs
    samples = _Samples(_rows(source), _TorchvisionPil())
    order = torch.Generator().manual_seed(seed)
    loader: Any = torch.utils.data.DataLoader(
        _Sized(samples, len(source)),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        persistent_workers=True,
        generator=order,
    )
    return lambda epoch: loader


class _Sized:
    """A data set of as many samples as there are images."""

    def __init__(self, samples: _Samples, count: int) -> None:
        self.samples, self.count = samples, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def _ours(source: Source, seed: int, epochs: int, first: int | None = None) -> Batches:
    """jessl's Loader with one thread, its resolution growing from `first`."""
    views = presets.simclr(SIZE)
    recipe: Any = views
    if first is not None:

        def recipe(epoch: int) -> Any:
            return views.resized(side(epoch, epochs=epochs, first=first, last=SIZE))

    loader = Loader(source, recipe, BATCH, seed=seed, workers=1, drop_last=True)

    def batches(epoch: int) -> Iterator[Any]:
        loader.epoch = epoch
        for batch in loader:
            yield batch.views

    return batches


def _rows(source: Source) -> np.ndarray:
    """Images uint8 [n, 32, 32, 3]."""
    return np.stack([source.read(k) for k in range(len(source))])


@torch.no_grad()
def _accuracy(encoder: torch.nn.Module, images: Images) -> float:
    """Linear accuracy on the test images."""
    encoder.eval()
    sets = []
    for source in (images.train, images.test):
        x = torch.from_numpy(_rows(source)).permute(0, 3, 1, 2).float() / 255
        x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        z = torch.cat([encoder(part) for part in x.split(256)]).numpy()
        sets.append(Embeddings(z, labels=source.labels))
    return float(probe(*sets, kind="logistic", duplicates=False).accuracy)


def _target(runs: list[dict[str, Training]]) -> float:
    reference = [one[TORCHVISION].accuracy for one in runs]
    start, end = (float(np.mean([curve[k] for curve in reference])) for k in (0, -1))
    return start + TARGET_SHARE * (end - start)


def _part(name: str, ratios: list[float], rule: str | None) -> ClaimPart:
    """The geometric mean of ratios less 1."""
    effect, low, high = (math.expm1(x) for x in over_repetitions(np.log(ratios)))
    return ClaimPart(name, effect, low, high, SMALLEST, rule, "times", f"{len(ratios)} seeds")


def _table(encoder: str, runs: list[dict[str, Training]], target: float) -> list[str]:
    lines = [
        "",
        f"{encoder}, {ENCODERS[encoder]} epochs:",
        "",
        "| batches | seconds an epoch | seconds to the accuracy | accuracy at the end |",
        "|---|---:|---:|---:|",
    ]
    for arm in runs[0]:
        epoch = np.median([np.median(one[arm].seconds) for one in runs])
        reached = [one[arm].seconds_to(target) for one in runs]
        end = [100 * one[arm].accuracy[-1] for one in runs]
        lines.append(
            f"| {arm} | {epoch:.2f} | {' '.join(f'{s:.1f}' for s in reached)} | "
            f"{' '.join(f'{a:.1f}' for a in end)} |"
        )
    return lines


TESTS = {"democratizing-speed": speed}

if __name__ == "__main__":
    main(TESTS, __doc__)
