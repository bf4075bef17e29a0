"""What view retrieval during training costs, beside the training steps.

    OMP_NUM_THREADS=1 python benchmarks/selection/online_cost.py --data train.npz \\
        --record benchmarks/records/DATE-online-cost.md

CPU seconds of one evaluation (2 views of up to 1,200 held-out images) and of an epoch's steps, in
turns in one process; the share of a run is that of its default ten evaluations.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from harness import say, tell
from jessl.config import Pretrain
from jessl.data import Subset, open_source
from jessl.pretraining.build import build
from jessl.pretraining.defaults import resolve
from jessl.pretraining.evaluate_views import evaluate_views

STEPS = 4
_WARM_UP = 2


def main(argv: list[str] | None = None) -> None:
    """Time each encoder on each number of images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="SRC")
    parser.add_argument("--encoders", nargs="+", default=["smallconv:16", "timm:resnet18"])
    parser.add_argument("--images", nargs="+", type=int, default=[2_000, 20_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", help="a .md file to write")
    options = parser.parse_args(argv)
    lines = [
        "| encoder | images | epochs (default) | CPU s of an epoch | CPU s of an evaluation "
        "(lowest to highest) | share of an epoch | share of a run |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    whole = open_source(options.data)
    for encoder in options.encoders:
        for images in options.images:
            source = Subset(whole, range(min(images, len(whole))))
            lines.append(_row(encoder, source, options.rounds))
            say(lines[-1])
    tell("View retrieval during training: its cost", ("jessl", "torch"), lines, options.record)


def _row(encoder: str, source: Subset, rounds: int) -> str:
    with tempfile.TemporaryDirectory() as out:
        config = Pretrain(
            data="images", out=out, encoder=encoder, batch_size=128, workers=1, tune=False,
            online_probes=False, device="cpu", objective="simclr",
        )  # fmt: skip
        settings = resolve(config, source, torch.device("cpu"))
        parts = build(settings, source, torch.device("cpu"))
    batches = iter(parts.loader)
    steps, evaluations = [], []
    parts.trainer.set_training()
    for number in range(_WARM_UP + rounds):
        began = time.process_time()
        for _ in range(STEPS):
            batch = next(batches, None)
            if batch is None:
                batches = iter(parts.loader)
                batch = next(batches)
            parts.trainer.take_step(batch.views, batch.labels)
        trained = time.process_time()
        evaluate_views(parts.encoder, parts.sample, workers=1)
        parts.trainer.set_training()
        if number >= _WARM_UP:
            steps.append((trained - began) / STEPS)
            evaluations.append(time.process_time() - trained)
    epoch = statistics.median(steps) * len(parts.loader)
    one = statistics.median(evaluations)
    count = -(-settings.epochs // settings.evaluate_epochs)
    return (
        f"| {encoder} | {len(source):,} | {settings.epochs} | {epoch:.1f} | {one:.2f} "
        f"({min(evaluations):.2f} to {max(evaluations):.2f}) | {one / epoch:.1%} | "
        f"{count * one / (settings.epochs * epoch):.2%} |"
    )


if __name__ == "__main__":
    main()
