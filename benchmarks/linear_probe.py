"""Does pretraining help? Linear-probe accuracy of trained, untrained encoder and raw pixels.

    python benchmarks/linear_probe.py --train torchvision:CIFAR10:train \\
        --test torchvision:CIFAR10:test --epochs 20 --out cifar10

Each seed is one pretraining run (labels hidden), then one logistic probe, tuned on the training
images alone, of the trained and of the untrained encoder. Every result is appended to
OUT/results.jsonl as it is there; a second call goes on. The table at the end is Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import jessl
from jessl.data import Loader, Source, split_source, unlabelled
from jessl.records import versions
from jessl.views import central_view


def main() -> None:
    args = _arguments()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    train = jessl.open_source(args.train)
    if args.test is None:
        train, test = split_source(train, 0.2, 0)
    else:
        test = jessl.open_source(args.test)
    train, test = _at_most(train, args.images), _at_most(test, args.images)
    done = _read(folder)
    for seed in args.seeds:
        for kind, measure in (("untrained", _untrained), ("trained", _trained)):
            if (kind, seed) not in done:
                since = time.monotonic()
                accuracy = measure(args, folder, train, test, seed)
                _write(folder, done, kind, seed, accuracy, time.monotonic() - since)
    if ("raw pixels", 0) not in done:
        since = time.monotonic()
        accuracy = jessl.probe(_pixels(train), _pixels(test)).accuracy
        _write(folder, done, "raw pixels", 0, accuracy, time.monotonic() - since)
    print(_table(args, train, test, done))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", default="digits", help="SRC with labels")
    parser.add_argument("--test", help="SRC with labels; a fifth of --train where it is left out")
    parser.add_argument("--images", type=int, default=10**9, help="at most so many of each")
    parser.add_argument("--encoder", default="smallconv")
    parser.add_argument("--objective", default="vicreg")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--flip", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", default="bench-linear-probe")
    return parser.parse_args()


def _at_most(source: Source, images: int) -> Source:
    return source if len(source) <= images else split_source(source, images / len(source), 0)[1]


def _trained(
    args: argparse.Namespace, folder: Path, train: Source, test: Source, seed: int
) -> float:
    config = jessl.Pretrain(
        data=args.train,
        out=str(folder / f"run-{seed}"),
        resume=True,
        objective=args.objective,
        encoder=args.encoder,
        epochs=args.epochs,
        lr=args.lr,
        view_options={"flip": args.flip},
        seed=seed,
    )
    run = jessl.pretrain(config, source=unlabelled(train))
    return _probed(jessl.embed(run, train), jessl.embed(run, test))


def _untrained(
    args: argparse.Namespace, folder: Path, train: Source, test: Source, seed: int
) -> float:
    size = max(16, train.size(0)[0])
    both = [
        jessl.embed(args.encoder, part, init="random", seed=seed, size=size)
        for part in (train, test)
    ]
    return _probed(*both)


def _probed(train: Any, test: Any) -> float:
    return jessl.probe(train, test, kind="logistic").accuracy


def _pixels(source: Source) -> jessl.Embeddings:
    """Pixels of the images as they are, in [0, 1], one row an image."""
    size = source.size(0)[0]
    view = central_view(size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    grey = source.read(0).shape[2] == 1
    rows, labels = [], []
    for batch in Loader(source, view, 512, shuffle=False):
        x = batch.views[0].numpy()
        rows.append((x[:, :1] if grey else x).reshape(len(x), -1))
        labels.append(batch.labels.numpy())
    return jessl.Embeddings(np.concatenate(rows), np.concatenate(labels))


def _read(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(r["kind"], r["seed"]): r for r in rows}


def _write(
    folder: Path, done: dict[Any, Any], kind: str, seed: int, accuracy: float, seconds: float
) -> None:
    row = {"kind": kind, "seed": seed, "accuracy": accuracy, "seconds": round(seconds, 1)}
    with (folder / "results.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    done[kind, seed] = row
    print(row, flush=True)


def _table(args: argparse.Namespace, train: Source, test: Source, done: dict[Any, Any]) -> str:
    lines = [
        f"{len(train):,} training and {len(test):,} test images of {train.name}; "
        f"{args.encoder}, {args.objective}, {args.epochs} epochs; {versions()}; "
        f"{os.cpu_count()} cores, {platform.machine()}",
        "",
        "| representation | accuracy, mean | sd | n seeds | seconds a seed |",
        "|---|---|---|---|---|",
    ]
    for kind in ("trained", "untrained", "raw pixels"):
        rows = [r for (k, _), r in sorted(done.items()) if k == kind]
        values = [r["accuracy"] for r in rows]
        sd = f"{statistics.stdev(values):.4f}" if len(values) > 1 else "-"
        seconds = statistics.median(r["seconds"] for r in rows)
        lines.append(
            f"| {kind} | {statistics.fmean(values):.4f} | {sd} | {len(values)} | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
