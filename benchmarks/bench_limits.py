"""What RankMe cannot do: seven small experiments on CIFAR-10, each a table.

    OMP_NUM_THREADS=1 nice -n 5 python benchmarks/bench_limits.py --data cifar10-train.npz \\
        --test cifar10-test.npz --encoders ENCODERS --work limits --record records/DATE-limits.md

1 noise features; 2 a mean that all rows share; 3 near its cap; 4 losses that whiten; 5 supervised
encoders; 6 seeds against the jackknife; 7 few rows. ENCODERS holds the ResNet-20 and -56 of
github.com/akamaster/pytorch_resnet_cifar10 (`pretrained_models`); without it they are left out.
Every piece of work is a line of WORK/results.jsonl once it is done, and a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import jessl
from bench_encoders import SmallResNet
from harness import installed, say, write_record
from jessl.core.random import seeded
from jessl.data import Loader, Source, split_source, unlabelled
from jessl.encoders import Encoder, Preprocess, load_weights
from jessl.views import central_view

BASE = "simclr temperature 0.2"
TAUGHT = (2, 8, 30)
COVARIANCES = (0.1, 1, 10, 100)
TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1)
WIDTHS = (16, 32, 64, 128)
NOISE = ((32, 1.0), (128, 0.1), (128, 1.0), (256, 1.0))
ENCODER = "smallconv:16"
KINDS = ("trained", "untrained", "noise")
OFFSETS = (0, 1, 3, 10)
ROWS = (16, 32, 64, 128, 256, 512, 1024, 4096)
LAW = (2, 4, 10)
FILES = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
FIXED = {"lr": 2e-3, "encoder": ENCODER, "batch_size": 256, "resume": True, "workers": 1}
UNWATCHED = {"holdout": 0, "evaluate_epochs": 0, "online_probes": False}
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
    for s in (0, 1):
        found += [Training(f"vicreg cov {c}", "vicreg", {"cov": c}, epochs, s) for c in COVARIANCES]
        found += [Training(f"supervised {e} epochs", "supervised", {}, e, s) for e in TAUGHT]
    return found + [
        Training(f"width {d} {e} epochs", "vicreg", {"cov": 10, "projector": f"128-{d}"}, e, 0)
        for d in WIDTHS
        for e in (1, 8)
    ]


class Bench:
    """The images, the settings and what has been measured."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.every = jessl.open_source(args.data)
        self.train = split_source(self.every, args.images / len(self.every), 0)[1]
        self.test = jessl.open_source(args.test)
        self.work = Path(args.work)
        self.work.mkdir(parents=True, exist_ok=True)
        sizes = {"images": len(self.train), "test_images": len(self.test)}
        self.settings = sizes | {"encoder": ENCODER, "epochs": args.epochs, "lr": FIXED["lr"]}
        path = self.work / "results.jsonl"
        rows = map(json.loads, path.read_text().splitlines() if path.exists() else ())
        self.done = {r["piece"]: r["found"] for r in rows if r["settings"] == self.settings}

    def do(self, piece: str, work: Callable[[], Any]) -> None:
        """Measure a piece, unless it is there."""
        if piece in self.done:
            return
        since = time.perf_counter()
        row = {"piece": piece, "settings": self.settings, "found": work()}
        row["seconds"] = round(time.perf_counter() - since, 1)
        with (self.work / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.done[piece] = row["found"]
        say(f"{row['seconds']:6.1f} s  {piece}: {json.dumps(row['found'])[:200]}")

    def folder(self, name: str, seed: int) -> Path:
        """Of a training."""
        return self.work / f"{name}-{seed}".replace(" ", "-")

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


def judged(both: Sequence[jessl.Embeddings]) -> dict[str, Any]:
    """RankMe of the training images, accuracy on the test images."""
    return {"backbone": ranks(both[0]), "accuracy": jessl.probe(*both).accuracy}


def like(z: jessl.Embeddings, features: Any) -> jessl.Embeddings:
    """Other features of the same images."""
    return jessl.Embeddings(features, z.labels, z.ids)


def trained(bench: Bench, one: Training) -> dict[str, Any]:
    """Train, then score and probe."""
    config = jessl.Pretrain(
        data=bench.args.data,
        out=str(bench.folder(one.name, one.seed)),
        seed=one.seed,
        objective=one.objective,
        objective_options=one.options,
        epochs=one.epochs,
        **FIXED,
        **UNWATCHED,
    )
    taught = one.objective == "supervised"
    since = time.process_time()
    run = jessl.pretrain(config, source=bench.train if taught else unlabelled(bench.train))
    found = {"train_cpu_seconds": time.process_time() - since, **judged(bench.pair(run))}
    if not taught:
        found["projector"] = ranks(bench.embed(run, bench.train, "projector"))
    return found


def noise(bench: Bench, seed: int) -> list[dict[str, Any]]:
    """Independent Gaussian features beside those of a backbone."""
    both = bench.pair(bench.folder(BASE, 0))
    scale = float(both[0].features.std(axis=0).mean())
    draw = np.random.default_rng(seed)
    found = []
    for k, share in ((0, 0.0), *NOISE) if seed == 0 else NOISE:
        wide = []
        for z in both:
            extra = draw.standard_normal((len(z), k), dtype=np.float32) * (share * scale)
            wide.append(like(z, np.hstack([z.features, extra])))
        found.append({"k": k, "share": share, **judged(wide)})
    return found


def offset(bench: Bench, seed: int) -> list[dict[str, Any]]:
    """The same constant added to all features of all rows."""
    both = bench.pair(bench.folder(BASE, seed))
    mean = both[0].features.mean(axis=0)
    scale = float(both[0].features.std(axis=0).mean())
    found = []
    for name, add in (("mean taken away", -mean), *((f"+ {c} sd", c * scale) for c in OFFSETS)):
        moved = [like(z, z.features + np.float32(add)) for z in both]
        kinds = {kind: jessl.probe(*moved, kind=kind).accuracy for kind in ("logistic", "knn")}
        found.append({"offset": name, **ranks(moved[0]), **kinds})
    return found


def untrained(bench: Bench, seed: int) -> tuple[jessl.Embeddings, jessl.Embeddings]:
    """Features of our small net before any training."""
    with seeded(seed):
        return bench.pair(jessl.build_encoder(ENCODER))


def cap(bench: Bench, features: str, seed: int) -> list[dict[str, Any]]:
    """Top principal components of features, whitened or not: RankMe of the test rows, accuracy."""
    run = bench.folder(BASE, seed)
    both = bench.pair(run) if features == "trained" else untrained(bench, seed)
    if features == "noise":
        draw = np.random.default_rng(seed)
        both = tuple(like(z, draw.standard_normal((len(z), z.d))) for z in both)
    mean = both[0].features.mean(axis=0, dtype=np.float64)
    centred = [z.features - mean for z in both]
    values, axes = np.linalg.eigh(centred[0].T @ centred[0] / len(both[0]))
    found = []
    for d in WIDTHS:
        top, sd = axes[:, : -d - 1 : -1], np.sqrt(values[: -d - 1 : -1])
        plain = [like(z, x @ top) for z, x in zip(both, centred, strict=True)]
        white = [like(z, x @ top / sd) for z, x in zip(both, centred, strict=True)]
        both_ranks = {"plain": jessl.rankme(plain[1]), "white": jessl.rankme(white[1])}
        found.append({"d": d, **both_ranks, "accuracy": jessl.probe(*white).accuracy})
    return found


def few_rows(bench: Bench, draws: int = 10) -> list[dict[str, Any]]:
    """Two encoders where n is the cap."""
    runs = [bench.folder(f"simclr temperature {t}", 0) for t in (0.1, 1)]
    held = [bench.embed(run, bench.train, "projector").features for run in runs]
    draw = np.random.default_rng(0)
    found = []
    for n in ROWS:
        for _ in range(draws):
            pick = draw.choice(len(held[0]), n, replace=False)
            one, two = (jessl.rankme(z[pick]) for z in held)
            found.append({"n": n, "one": one, "two": two, "ratio": one / two})
    return found


def law(bench: Bench, layer: str, draws: int = 40) -> dict[str, Any]:
    """Random subsets of all training images against all of them."""
    z = bench.embed(bench.folder(BASE, 0), bench.every, layer).features
    draw = np.random.default_rng(0)
    found: dict[str, Any] = {"all": ranks(z), "n": len(z), "d": z.shape[1]}
    whole = found["all"]["debiased"]
    for ratio in LAW:
        found[str(ratio)] = rows = []
        for _ in range(draws):
            r = ranks(z[draw.choice(len(z), ratio * z.shape[1], replace=False)])
            off = {f"{k}_off": 100 * (r[k] / whole - 1) for k in ("rankme", "debiased")}
            rows.append({**off, "held": r["low"] <= whole <= r["high"]})
    return found


def resnet(bench: Bench, depth: int, seed: int | None) -> dict[str, Any]:
    """Supervised, or with a seed untrained: norms with the statistics of the training images."""
    some = [split_source(s, 2000 / len(s), 0)[1] for s in (bench.train, bench.test)]
    with seeded(seed or 0):
        body = SmallResNet((depth - 2) // 6)
        net = Encoder(body, dim=64, preprocess=IMAGENET, name="resnet", stem="small")
    if seed is None:
        load_weights(net, Path(bench.args.encoders) / FILES[depth])
    else:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        view = central_view(32, IMAGENET.mean, IMAGENET.std)
        loader = Loader(some[0], view, 256, shuffle=False, workers=1)
        with torch.no_grad():
            for batch in loader:
                net.train()(batch.views[0])
    return judged([bench.embed(net, source) for source in some])


def measured(args: argparse.Namespace) -> Bench:
    """All pieces of work, in the order in which they need each other."""
    bench = Bench(args)
    for one in trainings(args.epochs):
        bench.do(f"train {one.name} seed {one.seed}", partial(trained, bench, one))
    bench.do("rows", partial(few_rows, bench))
    for layer in ("backbone", "projector"):
        bench.do(f"law {layer}", partial(law, bench, layer))
    for seed in range(3):
        bench.do(f"noise seed {seed}", partial(noise, bench, seed))
        bench.do(f"offset seed {seed}", partial(offset, bench, seed))
        bench.do(f"untrained seed {seed}", lambda seed=seed: judged(untrained(bench, seed)))
        for kind in KINDS:
            bench.do(f"cap {kind} {seed}", partial(cap, bench, kind, seed))
    for depth in FILES if args.encoders else ():
        for seed in (None, 0, 1, 2):
            name = "trained" if seed is None else seed
            bench.do(f"resnet {depth} {name}", partial(resnet, bench, depth, seed))
    return bench


def several(values: Sequence[float], digits: int = 1) -> str:
    """Each of up to two values; mean and standard deviation of more."""
    if len(values) < 3:
        return ", ".join(f"{v:.{digits}f}" for v in values)
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def table(head: str, groups: dict[str, list[Any]], *columns: str) -> list[str]:
    """Markdown: a row for each group of pieces; a column is a path and its digits."""
    lines = [f"| {head} |", "|---|" + "---:|" * head.count("|")]
    for label, found in groups.items():
        asked = ((path.split("."), int(digits)) for path, digits in map(str.split, columns))
        cells = [several([reduce(getitem, path, x) for x in found], n) for path, n in asked]
        lines.append(f"| {' | '.join([label, *cells])} |")
    return [*lines, ""]


def of_features(done: dict[str, Any]) -> list[str]:
    """Tables 1 to 3."""
    noisy = [r for s in range(3) for r in done[f"noise seed {s}"]]
    groups = {
        f"{k} | {share:g}": [r for r in noisy if (r["k"], r["share"]) == (k, share)]
        for k, share in ((0, 0), *NOISE)
    }
    body = ["## 1 Noise features beside those of a backbone", ""]
    head = "features added | sd, in that of the real ones | RankMe | its jackknife sd | accuracy"
    body += table(head, groups, "backbone.rankme 1", "backbone.sd 2", "accuracy 4")
    body += ["## 2 One number added to all features of all rows", ""]
    moved = zip(*(done[f"offset seed {s}"] for s in range(3)), strict=True)
    head = "added | RankMe | RankMe, centred | logistic | kNN, by cosine"
    columns = ("rankme 1", "centred 1", "logistic 4", "knn 4")
    body += table(head, {r[0]["offset"]: list(r) for r in moved}, *columns)
    groups = {
        f"{kind} | {d}": [done[f"cap {kind} {s}"][k] for s in range(3)]
        for kind in KINDS
        for k, d in enumerate(WIDTHS)
    }
    body += ["## 3 Near the cap", ""]
    head = "principal components of | d | RankMe | RankMe, whitened | accuracy"
    body += table(head, groups, "plain 1", "white 2", "accuracy 4")
    groups = {
        f"{d} | {e}": [done[f"train width {d} {e} epochs seed 0"]] for d in WIDTHS for e in (1, 8)
    }
    head = "projector's width | epochs | RankMe | RankMe, centred | accuracy"
    body += table(head, groups, "projector.rankme 1", "projector.centred 1", "accuracy 4")
    groups = {str(n): [r for r in done["rows"] if r["n"] == n] for n in ROWS}
    head = "rows n | RankMe, temperature .1 | RankMe, temperature 1 | ratio"
    return body + table(head, groups, "one 1", "two 1", "ratio 3")


def of_runs(done: dict[str, Any]) -> list[str]:
    """Tables 4 to 7."""

    def runs(name: str, seeds: int) -> list[Any]:
        return [done[f"train {name} seed {s}"] for s in range(seeds)]

    names = [f"vicreg cov {c}" for c in COVARIANCES]
    names += [f"simclr temperature {t}" for t in TEMPERATURES]
    columns = ("projector.rankme 1", "projector.centred 1", "backbone.rankme 1", "accuracy 4")
    head = "loss | RankMe, projector | the same, centred | RankMe, backbone | accuracy"
    body = ["## 4 The loss itself", "", *table(head, {n: runs(n, 2) for n in names}, *columns)]
    groups = {f"{ENCODER} untrained": [done[f"untrained seed {s}"] for s in range(3)]}
    for e in TAUGHT:
        groups[f"{ENCODER} supervised, {e} epochs"] = runs(f"supervised {e} epochs", 2)
    for depth in FILES:
        if (key := f"resnet {depth} trained") in done:
            groups[f"ResNet-{depth} untrained"] = [done[f"resnet {depth} {s}"] for s in range(3)]
            groups[f"ResNet-{depth} supervised"] = [done[key]]
    head = "encoder | RankMe, backbone | its jackknife sd | RankMe, centred | accuracy"
    columns = ("backbone.rankme 1", "backbone.sd 2", "backbone.centred 1", "accuracy 4")
    body += ["## 5 Supervised encoders", "", *table(head, groups, *columns)]
    five = {BASE: runs(BASE, 5)}
    columns = ("projector.rankme 2", "projector.sd 2", "backbone.rankme 2", "backbone.sd 2")
    head = "loss | RankMe, projector | jackknife sd | RankMe, backbone | jackknife sd | accuracy"
    body += ["## 6 Five seeds", "", *table(head, five, *columns, "accuracy 4"), "## 7 Few rows", ""]
    groups = {}
    for layer in ("backbone", "projector"):
        found = done[f"law {layer}"]
        for ratio, rows in ((r, found[str(r)]) for r in LAW):
            held = np.mean([r["held"] for r in rows])
            groups[f"{layer}, {found['all']['debiased']:.2f} | {ratio} | {held:.2f}"] = rows
    head = "layer, RankMe of all | n / d | intervals that hold it | value, % off | debiased, % off"
    return body + table(head, groups, "rankme_off 2", "debiased_off 2")


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    bench = measured(args)
    head = (
        f"{len(bench.train):,} training images, {len(bench.test):,} test images (2,000 of each "
        f"for the ResNets), {ENCODER}, {args.epochs} epochs if not said, batches of 256."
    )
    body = [head, "", *of_features(bench.done), *of_runs(bench.done)]
    print("\n".join(body))
    if args.record:
        versions = installed(("jessl", "torch", "numpy", "scikit-learn"))
        write_record(args.record, "What RankMe cannot do", versions, body)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="SRC with labels: CIFAR-10's training images")
    parser.add_argument("--test", required=True, help="SRC with labels: its test images")
    parser.add_argument("--encoders", help="folder of the published supervised ResNets")
    parser.add_argument("--images", type=int, default=5000, help="training images that are used")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--work", default="limits", help="folder of runs and results, of these settings alone"
    )
    parser.add_argument("--record", help="Markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
