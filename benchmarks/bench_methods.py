"""Every method on one budget: linear and kNN accuracy beside the untrained net, three seeds.

    OMP_NUM_THREADS=1 python benchmarks/bench_methods.py --train cifar10-train.npz \\
        --test cifar10-test.npz --out methods --jobs 2

Each run is one pretraining without labels (the supervised twin sees them), then two probes of its
frozen features, fitted on the training images and tested on the test images: logistic, its
penalty chosen by cross-validation of the training images alone, and weighted kNN (k 20, T .07).
All methods have the same views, encoder, optimizer, rate and number of epochs; nothing is tuned a
method. Every result is appended to OUT/results.jsonl as it is there; a second call goes on. The
table at the end is Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jessl
from jessl.data import Source, split_source, unlabelled
from jessl.objectives import CONFIGS
from jessl.records import versions

# a teacher would have to be given
METHODS = sorted(name for name, c in CONFIGS.items() if not c().build(8).target_dim)
UNTRAINED = "untrained"
# claims of the papers as changes of a method: --methods simclr-1-negative ...
VARIANTS: dict[str, dict[str, Any]] = {
    "simclr-1-negative": {"objective": "simclr", "objective_options": {"negatives": 1}},
    "simclr-patch": {"objective": "simclr", "objective_options": {"pool": 1}},
    "simclr-noise": {"objective": "simclr", "views": "gaussian_noise"},
    "simclr-coarse": {"objective": "simclr", "views": "coarse"},
    "simclr-asymmetric": {
        "objective": "simclr", "objective_options": {"projector": "linear", "teacher_head": "mlp"}
    },
    "cissl-mlp-student": {"objective": "cissl", "objective_options": {"student_head": "mlp"}},
    "dissl-mlp-student": {
        "objective": "dissl", "objective_options": {"classes": 1024, "student_head": "mlp"}
    },
    "simclr-dim-1024": {"objective": "simclr", "dim": 1024},
    "cissl-dim-1024": {"objective": "cissl", "dim": 1024},
}  # fmt: skip
# options where a default is for larger data: classes and prototypes for ten thousand images
OPTIONS: dict[str, dict[str, Any]] = {
    "dissl": {"classes": 1024},
    "dino": {"prototypes": 512, "freeze_epochs": 0.5},
    "swav": {"prototypes": 256, "freeze_epochs": 0.5},
}


def main() -> None:
    args = _arguments()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    if args.one:
        method, seed = args.one.split(":")
        row = _one(args, folder, method, int(seed))
        with (folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)
        return
    wanted = [(m, s) for s in args.seeds for m in (UNTRAINED, *args.methods)]
    done = _read(folder)
    with ThreadPoolExecutor(args.jobs) as pool:
        failed = [f for f in pool.map(_call, (w for w in wanted if w not in done)) if f]
    print(_table(args, _read(folder)))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _call(run: tuple[str, int]) -> str | None:
    """A run in a process of its own; its name if it failed."""
    name = f"{run[0]}:{run[1]}"
    done = subprocess.run(
        [sys.executable, *sys.argv, "--one", name], capture_output=True, text=True
    )
    print(done.stdout.strip() or f"{name} failed: {done.stderr[-800:]}", flush=True)
    return name if done.returncode else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True, help="SRC with labels")
    parser.add_argument("--test", required=True, help="SRC with labels")
    parser.add_argument("--images", type=int, default=10_000, help="at most so many to train on")
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--encoder", default="smallconv")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", default="bench-methods")
    parser.add_argument("--one", help="METHOD:SEED, this run alone")
    return parser.parse_args()


def _at_most(source: Source, images: int) -> Source:
    return source if len(source) <= images else split_source(source, images / len(source), 0)[1]


def _one(args: argparse.Namespace, folder: Path, method: str, seed: int) -> dict[str, Any]:
    train = _at_most(jessl.open_source(args.train), args.images)
    test = _at_most(jessl.open_source(args.test), args.test_images)
    row: dict[str, Any] = {"method": method, "seed": seed}
    if method == UNTRAINED:
        options = {"init": "random", "seed": seed, "size": max(16, train.size(0)[0])}
        both = [jessl.embed(args.encoder, part, **options) for part in (train, test)]
        row["rankme"] = jessl.rankme(both[0])
    else:
        config = jessl.Pretrain(
            data=args.train,
            out=str(folder / f"{method}-{seed}"),
            resume=True,
            encoder=args.encoder,
            epochs=args.epochs,
            batch_size=256,
            lr=args.lr,
            holdout=0,
            evaluate_epochs=0,
            online_probes=False,
            seed=seed,
            **VARIANTS.get(method, {"objective": method}),
        )
        if method in OPTIONS:
            config = dataclasses.replace(config, objective_options=OPTIONS[method])
        run = jessl.pretrain(config, source=train if method == "supervised" else unlabelled(train))
        both = [jessl.embed(run, part) for part in (train, test)]
        told = {r.name: r for r in run.records()}
        row["seconds"] = told["loss"].seconds
        row["rankme"] = told["rankme/backbone"].value
        row["steps"] = told["loss"].step
    for kind in ("logistic", "knn"):
        row[kind] = jessl.probe(*both, kind=kind).accuracy
    return row


def _read(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(r["method"], r["seed"]): r for r in rows}


def _table(args: argparse.Namespace, done: dict[tuple[str, int], dict[str, Any]]) -> str:
    lines = [
        f"{args.encoder}, {args.images:,} training images, {args.epochs} epochs of batches of 256, "
        f"adamw, peak rate {args.lr:g}, views by simclr; {versions()}; {os.cpu_count()} cores, "
        f"{args.jobs} runs at a time, {platform.machine()}",
        "",
        "| method | linear, mean | sd | kNN, mean | sd | RankMe | n | linear by seed | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    by_method: dict[str, list[dict[str, Any]]] = {}
    for (method, _), row in sorted(done.items()):
        by_method.setdefault(method, []).append(row)
    for method, rows in sorted(by_method.items(), key=lambda m: -_mean(m[1], "logistic")):
        each = " ".join(f"{r['logistic']:.3f}" for r in rows)
        spent = [r["seconds"] for r in rows if r.get("seconds")]
        lines.append(
            f"| {method} | {_mean(rows, 'logistic'):.4f} | {_sd(rows, 'logistic')} | "
            f"{_mean(rows, 'knn'):.4f} | {_sd(rows, 'knn')} | {_mean(rows, 'rankme'):.0f} | "
            f"{len(rows)} | {each} | {f'{statistics.median(spent):.0f}' if spent else '-'} |"
        )
    return "\n".join(lines)


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.fmean(r[name] for r in rows)


def _sd(rows: list[dict[str, Any]], name: str) -> str:
    return f"{statistics.stdev(r[name] for r in rows):.4f}" if len(rows) > 1 else "-"


if __name__ == "__main__":
    main()
