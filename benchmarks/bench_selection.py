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

`tell` answers, for every score and hyperparameter: Spearman's correlation with the accuracy over
the ten runs, and the regret of the value that `jessl.select` takes by it (ties and plateaus by the
spread between seeds), in points below the best value. Random choice loses the mean. A
hyperparameter whose accuracies range over less than three seed standard deviations says nothing: it
is shown and left out of the means. Intervals are 95 %, by a bootstrap over runs, for means over
hyperparameters. Then pruning: the epochs that successive halving on the online RankMe would have
saved, by replaying the recorded curves in 200 random orders on two workers, and what it loses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from harness import say, tell
from jessl.config import Pretrain, Sweep
from jessl.core.files import read_json
from jessl.report import summary_rows
from jessl.selection import select
from jessl.selection.criteria import parse_criterion
from jessl.sweeps.sweep import sweep
from selection_pruning import HEADS, ORDERS, replayed

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
# as they stand in the tables; the first chooses in the studies
TOLD = ("rankme/projector", *SCORES, "alpha_req/projector", "loss")
# accuracies that range over fewer seed standard deviations say nothing
LEAST_RANGE = 3.0
DRAWS = 2_000


def study(method: str, args: argparse.Namespace, data: dict[str, Path]) -> Sweep:
    """The study of a method: one hyperparameter at a time around the base."""
    base = Pretrain(
        data=str(data["train"]),
        objective=method,
        encoder=args.encoder,
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


@dataclass(frozen=True)
class Swept:
    """The runs of one hyperparameter; arrays are [values, seeds]."""

    data: str
    method: str
    field: str
    values: list[float]
    runs: list[Path]
    accuracy: np.ndarray
    utilities: dict[str, np.ndarray]
    told: dict[str, Any]

    @property
    def seed_sd(self) -> float:
        """Standard deviation between the seeds of a value, pooled."""
        return float(np.sqrt(self.accuracy.var(axis=1, ddof=1).mean()))

    @property
    def range(self) -> float:
        """Best mean accuracy minus the worst."""
        means = self.accuracy.mean(axis=1)
        return float(means.max() - means.min())

    @property
    def informative(self) -> bool:
        """Whether the values differ by more than chance."""
        return self.range >= LEAST_RANGE * self.seed_sd

    def regret(self, value: float) -> float:
        """What a value loses against the best one."""
        means = self.accuracy.mean(axis=1)
        return float(means.max() - means[self.values.index(value)])

    @property
    def random(self) -> float:
        """What a value taken blindly loses on average."""
        means = self.accuracy.mean(axis=1)
        return float(means.max() - means.mean())


def swept(folder: Path, data: str) -> list[Swept]:
    """The hyperparameters of a study."""
    told = read_json(folder / "study.json")
    frame = pd.DataFrame(summary_rows(folder)).set_index("run")
    found = []
    for field in SPACES[folder.name]:
        centre = {f: v for f, v in _centre(told).items() if f != field}
        mine = [
            (entry["params"][field], entry["seed"], name)
            for name, entry in told["runs"].items()
            if entry["outcome"] == "finished"
            and all(entry["params"][f] == v for f, v in centre.items())
        ]
        names = [name for _, _, name in sorted(mine)]
        values = sorted({value for value, _, _ in mine})
        shape = (len(values), len(SEEDS))
        rows = frame.loc[names]
        utilities = {}
        for text in TOLD:
            utility = [parse_criterion(text).utility(v) for v in rows[text.replace("/", "_")]]
            utilities[text] = np.array(utility).reshape(shape)
        runs = [folder / "runs" / name for name in names]
        chosen = select(runs, by=TOLD[0], scores=TOLD[1:])
        choices = {c.score: c.path for c in chosen.groups[0].choices}
        accuracy = 100 * rows["accuracy_logistic"].to_numpy(float).reshape(shape)
        by_run = {str(run): value for run, (value, _, _) in zip(runs, sorted(mine), strict=True)}
        found.append(
            Swept(
                data,
                folder.name,
                field.rpartition(".")[2],
                values,
                runs,
                accuracy,
                utilities,
                {score: by_run[str(path)] for score, path in choices.items()},
            )
        )
    return found


def _centre(told: dict[str, Any]) -> dict[str, float]:
    """The setting that all sweeps share: of every field its most frequent value."""
    frame = pd.DataFrame([entry["params"] for entry in told["runs"].values()])
    return {field: frame[field].mode()[0] for field in frame.columns}


def rho(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation over runs; 0 where one of the two does not differ."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(stats.spearmanr(a.ravel(), b.ravel()).statistic)


def interval(values: Sequence[float]) -> str:
    """The 95 % range of a bootstrap."""
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:+.2f} to {high:+.2f}"


def correlations(found: list[Swept], rng: np.random.Generator) -> list[str]:
    """Spearman's correlations, a row a hyperparameter."""
    lines = [
        "| data | method | field | range, points | seed sd | " + " | ".join(TOLD) + " |",
        "|---|---|---|---|---|" + "---|" * len(TOLD),
    ]
    for one in found:
        cells = []
        for text in TOLD:
            drawn = []
            for _ in range(DRAWS // 10):
                at = rng.integers(0, one.accuracy.size, one.accuracy.size)
                drawn.append(rho(one.utilities[text].ravel()[at], one.accuracy.ravel()[at]))
            cells.append(f"{rho(one.utilities[text], one.accuracy):+.2f} ({interval(drawn)})")
        says = "" if one.informative else " (says nothing)"
        lines.append(
            f"| {one.data} | {one.method} | {one.field}{says} | {one.range:.1f} | "
            f"{one.seed_sd:.2f} | {' | '.join(cells)} |"
        )
    return lines


def regrets(found: list[Swept]) -> list[str]:
    """Regrets, a row a hyperparameter."""
    lines = [
        "| data | method | field | best value | " + " | ".join(TOLD) + " | random |",
        "|---|---|---|---|" + "---|" * (len(TOLD) + 1),
    ]
    for one in found:
        best = one.values[int(one.accuracy.mean(axis=1).argmax())]
        cells = [f"{one.regret(one.told[t]):.1f} ({one.told[t]:g})" for t in TOLD]
        says = "" if one.informative else " (says nothing)"
        lines.append(
            f"| {one.data} | {one.method} | {one.field}{says} | {best:g} | {' | '.join(cells)} | "
            f"{one.random:.1f} |"
        )
    return lines


def summary(found: list[Swept], rng: np.random.Generator) -> list[str]:
    """Means over the informative hyperparameters, and differences to RankMe, paired."""
    known = [one for one in found if one.informative]
    if len(known) < 2:
        return [f"{len(known)} of {len(found)} hyperparameters say anything: no means."]
    lost = {t: np.array([one.regret(one.told[t]) for one in known]) for t in TOLD}
    lost["random"] = np.array([one.random for one in known])
    at = rng.integers(0, len(known), (DRAWS, len(known)))
    lines = [
        f"{len(known)} of {len(found)} hyperparameters say anything; means over them:",
        "",
        "| score | Spearman | 95 % | regret, points | 95 % | minus RankMe's, paired |",
        "|---|---|---|---|---|---|",
    ]
    for text, mine in lost.items():
        row = [text, "-", "-"]
        if text in TOLD:
            each = np.array([rho(one.utilities[text], one.accuracy) for one in known])
            row = [text, f"{each.mean():+.2f}", interval(each[at].mean(axis=1))]
        apart = mine - lost[TOLD[0]]
        row += [f"{mine.mean():.2f}", interval(mine[at].mean(axis=1))]
        row += [f"{apart.mean():+.2f} ({interval(apart[at].mean(axis=1))})"]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def answer(args: argparse.Namespace) -> None:
    """Tables of the studies that are done."""
    rng = np.random.default_rng(0)
    studies = [(work, work / method) for work in args.work for method in SPACES]
    done = [(work, folder) for work, folder in studies if (folder / "study.json").is_file()]
    found = [one for work, folder in done for one in swept(folder, work.name)]
    frames = [pd.DataFrame(summary_rows(folder)).assign(data=work.name) for work, folder in done]
    table = pd.concat(frames, ignore_index=True)
    kept = [c for c in table.columns if not c.endswith(("_low", "_high"))]
    if args.csv:
        table[kept].to_csv(args.csv, index=False, float_format="%.6g")
    seconds = [read_json(folder / "study.json")["seconds"] for _, folder in done]
    body = [
        f"{len(table)} runs; {table['seconds'].sum() / 60:.0f} minutes of training by the runs' "
        f"clocks, {sum(seconds) / 60:.0f} minutes of the last calls, with scores and probes. "
        "Accuracy: logistic probe of the backbone on test images. Every run is in the .csv beside.",
        "",
        *summary(found, rng),
        "",
        "## Regret of the value taken, points (the value)",
        "",
        *regrets(found),
        "",
        "## Spearman's correlation with the accuracy over the runs of a hyperparameter",
        "",
        *correlations(found, rng),
        "",
        "## Pruning, replayed: all runs of a study compete",
        "",
        f"{ORDERS} random orders on two workers; lost: accuracy of the choice among the runs left, "
        "below that of the choice among all, both by mean RankMe.",
        "",
        f"| {' | '.join(HEADS)} |",
        "|---" * len(HEADS) + "|",
        *(line for _, folder in done for line in replayed(folder, rng)),
    ]
    title = "Choosing without labels: RankMe, LiDAR, alpha-ReQ, the loss and chance"
    tell(title, ("torch", "numpy", "scipy", "optuna"), body, args.record)


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
    one.add_argument("--encoder", default="smallconv:16")
    two = commands.add_parser("tell", help="what the studies say")
    two.set_defaults(run=answer)
    two.add_argument("--work", type=Path, nargs="+", required=True)
    two.add_argument("--record", help="a .md file to write")
    two.add_argument("--csv", help="a .csv file to write, a row a run")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> Any:
    """Do what the command line says."""
    args = parsed(argv)
    return args.run(args)


if __name__ == "__main__":
    main()
