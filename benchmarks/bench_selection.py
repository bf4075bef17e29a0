"""Does a label-free score choose well? A study as in table 1 of the RankMe paper, on a CPU.

    python benchmarks/bench_selection.py train --train cifar10-train.npz --test cifar10-test.npz \\
        --work WORK/cifar10 --jobs 2
    python benchmarks/bench_selection.py tell --work WORK/cifar10 WORK/fashion \\
        --record records/DATE-selection.md --csv records/DATE-selection.csv

`train` runs two studies of `jessl sweep`, one hyperparameter at a time, two seeds: VICReg's weights
of covariance and invariance, learning rate and weight decay; SimCLR's temperature, learning rate
and weight decay; five values each, 60 runs a data set. Trainings see no labels; a logistic probe of
the backbone, fitted on the training images, says afterwards what every run was worth on test images
that nothing else has seen. It is resumable: the same command goes on.

`tell` answers: Spearman's correlation of each score with the accuracy over the runs of a
hyperparameter, and the regret of choosing the value that the score likes best. A hyperparameter
whose accuracies range over less than three seed standard deviations says nothing, and is left out
of the means. Accuracies are percent.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import say
from jessl.config import Pretrain, Sweep
from jessl.study.sweep import sweep

RATES = [2e-4, 6e-4, 2e-3, 6e-3, 2e-2]
DECAYS = [0.0, 1e-3, 1e-2, 1e-1, 1.0]
SPACES: dict[str, dict[str, list[float]]] = {
    "vicreg": {
        "objective_options.cov": [0.01, 0.1, 1.0, 10.0, 100.0],
        "objective_options.inv": [1.0, 5.0, 25.0, 50.0, 100.0],
        "lr": RATES,
        "weight_decay": DECAYS,
    },
    "simclr": {
        "objective_options.temperature": [0.05, 0.1, 0.2, 0.5, 2.0],
        "lr": RATES,
        "weight_decay": DECAYS,
    },
}
SEEDS = (0, 1)
SCORES = ("lidar/projector", "lidar/backbone", "rankme/backbone", "alpha_req/backbone")


def study(method: str, args: argparse.Namespace, data: dict[str, Path]) -> Sweep:
    """The study of a method: one hyperparameter at a time around the base."""
    base = Pretrain(
        data=str(data["train"]),
        objective=method,
        encoder="smallconv:16",
        view_options={} if args.flip else {"flip": 0},
        epochs=args.epochs,
        batch_size=256,
        lr=2e-3,
        weight_decay=1e-2,
        evaluate_epochs=1,
        checkpoint_epochs=max(1, args.epochs // 2),
        keep_checkpoints=1,
        device=args.device,
    )
    return Sweep(
        base=base,
        space=SPACES[method],
        sampler="each",
        seeds=SEEDS,
        scores=SCORES,
        test=str(data["test"]),
        prune=args.prune,
    )


def part_of(path: str, count: int, into: Path) -> Path:
    """The first images of a file that was shuffled, as a file of their own."""
    if not into.exists():
        into.parent.mkdir(parents=True, exist_ok=True)
        with np.load(path) as held:
            np.savez(into, x=held["x"][:count], y=held["y"][:count])
    return into


def train(args: argparse.Namespace) -> None:
    """Run, or go on with, both studies."""
    data = {
        "train": part_of(args.train, args.images, args.work / "train.npz"),
        "test": part_of(args.test, args.test_images, args.work / "test.npz"),
    }
    for method in args.methods:
        began = time.time()
        told = sweep(study(method, args, data), args.work / method, jobs=args.jobs)
        say(f"{method}: {told['outcomes']}, {time.time() - began:,.0f} s of this call")


def parsed(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="run the studies")
    one.set_defaults(run=train)
    one.add_argument("--train", required=True, help=".npz with x and y, shuffled")
    one.add_argument("--test", required=True)
    one.add_argument("--work", type=Path, required=True)
    one.add_argument("--images", type=int, default=8_000)
    one.add_argument("--test-images", type=int, default=5_000)
    one.add_argument("--epochs", type=int, default=12)
    one.add_argument("--jobs", type=int, default=2)
    one.add_argument("--methods", nargs="+", default=list(SPACES), choices=list(SPACES))
    one.add_argument("--flip", type=int, default=1, help="whether views may be mirrored")
    one.add_argument("--prune", action="store_true", help="stop runs that fall behind")
    one.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> Any:
    """Do what the command line says."""
    args = parsed(argv)
    return args.run(args)


if __name__ == "__main__":
    main()
