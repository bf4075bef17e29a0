"""What RankMe cannot do: seven small experiments on CIFAR-10, each a table.

    OMP_NUM_THREADS=1 nice -n 5 python benchmarks/bench_limits.py --data cifar10-train.npz \\
        --test cifar10-test.npz --encoders ENCODERS --work limits --record records/DATE-limits.md

1 noise features raise it; 2 a mean that all rows share lowers it; 3 near its cap it tells nothing
apart; 4 a loss that whitens raises it; 5 it does not order supervised encoders; 6 the seed moves
it more than the jackknife says; 7 few rows make it small. ENCODERS is the folder with the
supervised ResNet-20 and -56 of github.com/akamaster/pytorch_resnet_cifar10 (`pretrained_models`);
without it these rows are left out. One process; every piece of work is a line of
WORK/results.jsonl as soon as it is done, and a second call with the same settings goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import jessl
from harness import installed, say, write_record
from jessl.data import Loader, Source, split, unlabelled
from jessl.encoders import Encoder, Preprocess, load_weights, seeded
from jessl.views import central_view

COVARIANCES = (0.1, 1, 10, 100)
TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1)
WIDTHS = (16, 32, 64, 128)
NOISE = ((32, 1.0), (128, 0.1), (128, 1.0), (256, 1.0))
ENCODER = "smallconv:16"
OFFSETS = (0, 1, 3, 10)
ROWS = (16, 32, 64, 128, 256, 512, 1024, 4096)
LAW = (2, 4, 10)
FILES = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
# normalisation that the published ResNets were trained with
IMAGENET = Preprocess(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Training:
    """One run of ours; `name` without the seed is the configuration."""

    name: str
    objective: str
    options: dict[str, Any]
    epochs: int
    seed: int


def trainings(epochs: int) -> list[Training]:
    """All of them, those that other experiments need first."""
    found = [
        Training(f"simclr temperature {t}", "simclr", {"temperature": t}, epochs, s)
        for s in range(5)
        for t in sorted(TEMPERATURES, key=lambda t: t != 0.2)
        if s < 2 or t == 0.2
    ]
    found += [
        Training(f"vicreg cov {c}", "vicreg", {"cov": c}, epochs, s)
        for s in (0, 1)
        for c in COVARIANCES
    ]
    found += [
        Training(f"supervised {e} epochs", "supervised", {}, e, s) for s in (0, 1) for e in (2, 8)
    ]
    return found + [
        Training(f"width {d} {e} epochs", "vicreg", {"cov": 10, "projector": f"128-{d}"}, e, 0)
        for d in WIDTHS
        for e in (1, 4)
    ]


class Bench:
    """The images, the settings and what has been measured."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.every = jessl.open_source(args.data)
        self.train = split(self.every, args.images / len(self.every), 0)[1]
        self.test = jessl.open_source(args.test)
        self.work = Path(args.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.settings = {
            "images": len(self.train),
            "test_images": len(self.test),
            "encoder": ENCODER,
            "epochs": args.epochs,
            "lr": args.lr,
        }
        path = self.work / "results.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines]
        self.done = {r["piece"]: r["found"] for r in rows if r["settings"] == self.settings}

    def do(self, piece: str, work: Callable[[], Any]) -> None:
        """Measure a piece, unless it is there."""
        if piece in self.done:
            return
        since = time.perf_counter()
        found = work()
        seconds = round(time.perf_counter() - since, 1)
        row = {"piece": piece, "settings": self.settings, "seconds": seconds, "found": found}
        with (self.work / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.done[piece] = found
        say(f"{seconds:6.1f} s  {piece}: {json.dumps(found)[:200]}")

    def run(self, name: str, seed: int) -> jessl.Run:
        """A training's folder."""
        return jessl.Run.open(self.work / f"{name}-{seed}".replace(" ", "-"))

    def embed(self, run: Any, source: Source, layer: str = "backbone") -> jessl.Embeddings:
        """Embeddings of a run or an Encoder."""
        return jessl.embed(run, source, layers=(layer,), workers=1)

    def pair(self, run: Any) -> tuple[jessl.Embeddings, jessl.Embeddings]:
        """Backbone features of the training and of the test images."""
        return self.embed(run, self.train), self.embed(run, self.test)


def ranks(z: Any) -> dict[str, float]:
    """RankMe of rows: as published, its jackknife sd, debiased, and of the centred rows."""
    r = jessl.score(z, ("rankme",), jackknife=20)["rankme"]
    values = {"rankme": r.value, "sd": r.sd, "debiased": r.debiased}
    return {**values, "low": r.low, "high": r.high, "centred": jessl.rankme(z, center=True)}


def accuracy(train: Any, test: Any, kind: str = "logistic") -> float:
    """Of a probe fitted on the training images, tuned on them alone."""
    return jessl.probe(train, test, kind=kind).accuracy


def like(z: jessl.Embeddings, features: Any) -> jessl.Embeddings:
    """Other features of the same images."""
    return jessl.Embeddings(features, z.labels, z.ids)


def trained(bench: Bench, one: Training) -> dict[str, Any]:
    """Train, then score and probe."""
    config = jessl.Pretrain(
        data=bench.args.data,
        out=str(bench.work / f"{one.name}-{one.seed}".replace(" ", "-")),
        resume=True,
        objective=one.objective,
        objective_options=one.options,
        encoder=ENCODER,
        epochs=one.epochs,
        batch_size=256,
        lr=bench.args.lr,
        holdout=0,
        evaluate_epochs=0,
        online_probes=False,
        seed=one.seed,
        workers=1,
    )
    supervised = one.objective == "supervised"
    source = bench.train if supervised else unlabelled(bench.train)
    since = time.process_time()
    run = jessl.pretrain(config, source=source)
    seconds = time.process_time() - since
    both = bench.pair(run)
    found = {"backbone": ranks(both[0]), "accuracy": accuracy(*both), "train_cpu_seconds": seconds}
    if not supervised:
        found["projector"] = ranks(bench.embed(run, bench.train, "projector"))
    return found


def noise(bench: Bench, seed: int) -> list[dict[str, float]]:
    """Independent Gaussian features beside those of a backbone."""
    both = bench.pair(bench.run("simclr temperature 0.2", 0))
    scale = float(both[0].features.std(axis=0).mean())
    draw = np.random.default_rng(seed)
    found = []
    for k, share in ((0, 0.0), *NOISE) if seed == 0 else NOISE:
        wide = []
        for z in both:
            extra = draw.standard_normal((len(z), k), dtype=np.float32) * (share * scale)
            wide.append(like(z, np.hstack([z.features, extra])))
        found.append({"k": k, "share": share, **ranks(wide[0]), "accuracy": accuracy(*wide)})
    return found


def offset(bench: Bench, seed: int) -> list[dict[str, Any]]:
    """The same constant added to all features of all rows."""
    both = bench.pair(bench.run("simclr temperature 0.2", seed))
    mean = both[0].features.mean(axis=0)
    scale = float(both[0].features.std(axis=0).mean())
    found = []
    for name, add in (("mean taken away", -mean), *((f"+ {c} sd", c * scale) for c in OFFSETS)):
        moved = [like(z, z.features + np.float32(add)) for z in both]
        kinds = {kind: accuracy(*moved, kind=kind) for kind in ("logistic", "knn")}
        found.append({"offset": name, **ranks(moved[0]), **kinds})
    return found


def pixels(source: Source) -> jessl.Embeddings:
    """Pixels in [0, 1], one row an image."""
    view = central_view(32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    batches = list(Loader(source, view, 512, shuffle=False, workers=1))
    rows = np.concatenate([b.views[0].flatten(1).numpy() for b in batches])
    return jessl.Embeddings(rows, np.concatenate([b.labels.numpy() for b in batches]))


def cap(bench: Bench, features: str, seed: int) -> list[dict[str, Any]]:
    """Top principal components of features, whitened or not: RankMe of the test rows, accuracy."""
    if features == "trained":
        both = bench.pair(bench.run("simclr temperature 0.2", seed))
    elif features == "untrained":
        with seeded(seed):
            both = bench.pair(jessl.build_encoder(ENCODER))
    elif features == "pixels":
        both = pixels(bench.train), pixels(bench.test)
    else:
        draw = np.random.default_rng(seed)
        seen = (bench.embed(jessl.build_encoder(ENCODER), s) for s in (bench.train, bench.test))
        both = tuple(like(z, draw.standard_normal((len(z), z.d))) for z in seen)
    mean = both[0].features.mean(axis=0, dtype=np.float64)
    centred = [z.features - mean for z in both]
    values, axes = np.linalg.eigh(centred[0].T @ centred[0] / len(both[0]))
    found = []
    for d in WIDTHS:
        top, sd = axes[:, : -d - 1 : -1], np.sqrt(values[: -d - 1 : -1])
        plain = [like(z, x @ top) for z, x in zip(both, centred, strict=True)]
        white = [like(z, x @ top / sd) for z, x in zip(both, centred, strict=True)]
        both_ranks = {"plain": jessl.rankme(plain[1]), "white": jessl.rankme(white[1])}
        found.append({"d": d, **both_ranks, "accuracy": accuracy(*white)})
    return found


def few_rows(bench: Bench, draws: int = 10) -> list[dict[str, Any]]:
    """Two encoders, and a random one's features, where n is the cap."""
    runs = [bench.run(f"simclr temperature {t}", 0) for t in (0.1, 1)]
    held = [bench.embed(run, bench.train, "projector").features for run in runs]
    draw = np.random.default_rng(0)
    found = []
    for n in ROWS:
        pick = [draw.choice(len(held[0]), n, replace=False) for _ in range(draws)]
        found.append({"n": n, "values": [[jessl.rankme(z[p]) for z in held] for p in pick]})
    return found


def law(bench: Bench, layer: str, draws: int = 40) -> dict[str, Any]:
    """Random subsets of all training images against all of them."""
    z = bench.embed(bench.run("simclr temperature 0.2", 0), bench.every, layer).features
    draw = np.random.default_rng(0)
    found: dict[str, Any] = {"all": ranks(z), "n": len(z), "d": z.shape[1]}
    for ratio in LAW:
        parts = (draw.choice(len(z), ratio * z.shape[1], replace=False) for _ in range(draws))
        found[str(ratio)] = [ranks(z[p]) for p in parts]
    return found


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut that pads the missing channels (option A)."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.stride, self.pad = (1, 0) if before == width else (2, (width - before) // 2)
        self.conv1 = nn.Conv2d(before, width, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, before, s, s] to [n, width, s / stride, s / stride]."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        short = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(short, (0, 0, 0, 0, self.pad, self.pad)))


class ResNet(nn.Module):
    """ResNet of depth 6 n + 2 for CIFAR-10 (He et al. 2016, section 4.2) without its classifier."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        each = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for k, (before, width) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            blocks = [Block(before if i == 0 else width, width) for i in range(each)]
            setattr(self, f"layer{k}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, 3, 32, 32] to [n, 64]."""
        x = F.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3))


def resnet(bench: Bench, depth: int, seed: int | None) -> dict[str, Any]:
    """A supervised ResNet, or with a seed an untrained one.

    The untrained one's batch norms have the statistics of 2,560 training images; with the mean 0
    and the variance 1 that they are made with, features grow with every block.
    """
    with seeded(seed or 0):
        net = Encoder(ResNet(depth), dim=64, preprocess=IMAGENET, name="resnet", stem="small")
    if seed is None:
        load_weights(net, Path(bench.args.encoders) / FILES[depth])
    else:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        view = central_view(32, IMAGENET.mean, IMAGENET.std)
        loader = Loader(bench.train, view, 256, shuffle=False, workers=1)
        with torch.no_grad():
            for batch, _ in zip(loader, range(10), strict=False):
                net.train()(batch.views[0])
    both = bench.pair(net)
    return {"backbone": ranks(both[0]), "accuracy": accuracy(*both)}


def untrained(bench: Bench, seed: int) -> dict[str, Any]:
    """Our small net before any training."""
    with seeded(seed):
        both = bench.pair(jessl.build_encoder(ENCODER))
    return {"backbone": ranks(both[0]), "accuracy": accuracy(*both)}
