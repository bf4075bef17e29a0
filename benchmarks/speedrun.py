"""Seconds of training until a linear probe reaches 80, 85 and 90 %: a speed record to beat.

    python benchmarks/speedrun.py --train torchvision:CIFAR10:train \\
        --test torchvision:CIFAR10:test --encoder timm:resnet18 --epochs 50 --out speedrun

One training without labels; its checkpoints are kept, and after it each is embedded and probed
(logistic, penalty by cross-validation of the training images) on the test images. The seconds are
of training alone, from a process that has started: with data, without checkpoints' judging. Each
result is appended to OUT/results.jsonl; a second call goes on. The table at the end is Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

import jessl
from jessl.data import unlabelled
from jessl.encoders import load_weights
from jessl.records import versions
from jessl.training import checkpoint

GOALS = (0.80, 0.85, 0.90)


def main() -> None:
    args = _arguments()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    train, test = jessl.open_source(args.train), jessl.open_source(args.test)
    for seed in args.seeds:
        _measure(args, folder, train, test, seed)
    print(_table(args, _read(folder)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True, help="SRC with labels, which the training lacks")
    parser.add_argument("--test", required=True, help="SRC with labels")
    parser.add_argument("--objective", default="simclr")
    parser.add_argument("--encoder", default="timm:resnet18")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--every", type=int, default=5, help="epochs between two that are probed")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", default="bench-speedrun")
    return parser.parse_args()


def _measure(args: argparse.Namespace, folder: Path, train: Any, test: Any, seed: int) -> None:
    config = jessl.Pretrain(
        data=args.train, out=str(folder / f"run-{seed}"), resume=True, seed=seed,
        objective=args.objective, encoder=args.encoder, epochs=args.epochs, lr=args.lr,
        batch_size=args.batch_size, compile=args.compile, holdout=0, evaluate_epochs=0,
        checkpoint_epochs=args.every, checkpoint_seconds=1e9, keep_checkpoints=0,
        online_probes=False, log_steps=10,
    )  # fmt: skip
    run = jessl.pretrain(config, source=unlabelled(train))
    chosen, done = run.resolved_config(), _read(folder)
    losses = [r for r in run.records() if r.name == "loss" and r.step and r.seconds]
    for step, path in checkpoint.steps(run.checkpoints):
        if any(r["seed"] == seed and r["step"] == step for r in done):
            continue
        encoder = jessl.build_encoder(chosen.encoder, size=chosen.size, stem=chosen.stem)
        load_weights(encoder, path / checkpoint.MODEL)
        encoder.to("cuda" if torch.cuda.is_available() else "cpu")
        both = [jessl.embed(encoder, part) for part in (train, test)]
        row = {
            "seed": seed,
            "step": step,
            "epoch": step / run.facts()["steps_per_epoch"],
            # the last log before the checkpoint was written
            "seconds": max(r.seconds for r in losses if r.step <= step),
            "linear": jessl.probe(*both, kind="logistic").accuracy,
            "knn": jessl.probe(*both, kind="knn").accuracy,
        }
        with (folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _table(args: argparse.Namespace, rows: list[dict[str, Any]]) -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    lines = [
        f"{args.objective}, {args.encoder}, {args.epochs} epochs of batches of {args.batch_size}, "
        f"probed every {args.every} epochs; {versions()}; {device}, {os.cpu_count()} cores",
        "",
        "| seed | " + " | ".join(f"s to {g:.0%}" for g in GOALS) + " | linear | kNN | s in all |",
        "|" + "---|" * (4 + len(GOALS)),
    ]
    for seed in sorted({r["seed"] for r in rows}):
        mine = sorted((r for r in rows if r["seed"] == seed), key=lambda r: r["step"])
        first = [next((r["seconds"] for r in mine if r["linear"] >= g), None) for g in GOALS]
        cells = ["-" if s is None else f"{s:.0f}" for s in first]
        last = mine[-1]
        lines.append(
            f"| {seed} | {' | '.join(cells)} | {last['linear']:.4f} | {last['knn']:.4f} | "
            f"{last['seconds']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
