"""What judging costs while training: seconds of a judgement beside those of an epoch.

    OMP_NUM_THREADS=2 python benchmarks/bench_judging.py --data cifar10-train.npz

Without labels, as most people train: a judgement is the forward pass of the fixed sample and the
scores of the spectrum at the backbone and the projector. Steps and judgements alternate in one
run; an epoch is its number of steps times the median step. The share is that of the time between
two judgements at the default interval. The table at the end is Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from unittest import mock

import torch

import jessl
from jessl.data import Source, unlabelled
from jessl.extraction.extract import extract
from jessl.pretraining import evaluate
from jessl.pretraining.build import build
from jessl.pretraining.defaults import resolve
from jessl.records import versions


def main() -> None:
    args = _arguments()
    source: Source = unlabelled(jessl.open_source(args.data))
    device = torch.device(args.device)
    lines = [
        f"{len(source):,} images of {source.name}, batches of {args.batch_size}, {args.rounds} "
        f"rounds; {versions()}; {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{platform.machine()}, {args.device}; load {os.getloadavg()[0]:.1f}",
        "",
        "| encoder | projector | sample | s a judgement (range) | of it scores, s | s an epoch | "
        "epochs between two | share, % (range) |",
        "|" + "---|" * 8,
    ]
    for encoder in args.encoders:
        for projector in args.projectors:
            lines.append(_row(args, source, device, encoder, projector))
            print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits", help="SRC")
    parser.add_argument("--encoders", nargs="+", default=["smallconv"])
    parser.add_argument("--projectors", nargs="+", default=["512-512-128", "2048-2048-2048"])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def _row(
    args: argparse.Namespace, source: Source, device: torch.device, encoder: str, projector: str
) -> str:
    asked = jessl.Pretrain(
        data=args.data,
        encoder=encoder,
        batch_size=args.batch_size,
        objective="simclr",
        objective_options={"projector": projector},
    )
    config = resolve(asked, source, device)
    parts = build(config, source, device)
    trainer, batches = parts.trainer, iter(parts.loader)
    trainer.set_training()
    steps: list[float] = []
    judgements: list[float] = []
    shares: list[float] = []
    scores: list[float] = []
    for k in range(args.rounds + 1):
        took = []
        for _ in range(args.rounds):
            since = time.perf_counter()
            batch = next(batches)
            trainer.take_step(batch.views, batch.labels)
            _wait(device)
            took.append(time.perf_counter() - since)
        extracting: list[float] = []

        def timed(*given, **options):  # type: ignore[no-untyped-def]
            since = time.perf_counter()
            found = extract(*given, **options)
            extracting.append(time.perf_counter() - since)  # noqa: B023
            return found

        since = time.perf_counter()
        with mock.patch.object(evaluate, "extract", timed):
            evaluate.evaluate_online(parts.encoder, parts.objective, parts.sample, workers=None)
        spent = time.perf_counter() - since
        trainer.set_training()
        if k:  # the first round warms up
            step = statistics.median(took)
            steps.append(step)
            judgements.append(spent)
            scores.append(spent - sum(extracting))
            between = step * len(parts.loader) * (config.evaluate_epochs or 1)
            shares.append(100 * spent / (spent + between))
    epoch = statistics.median(steps) * len(parts.loader)
    return (
        f"| {parts.encoder.name} | {projector} | {len(parts.sample):,} | "
        f"{_spread(judgements, '.2f')} | {statistics.median(scores):.2f} | {epoch:.0f} | "
        f"{config.evaluate_epochs} | {_spread(shares, '.2f')} |"
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _spread(values: list[float], form: str) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} ({low:{form}}-{high:{form}})"


if __name__ == "__main__":
    main()
