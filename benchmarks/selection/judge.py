"""How much does a choice by each criterion lose? From the kept features, in minutes.

    python benchmarks/selection/judge.py --work trial --csv records/DATE-criteria.csv \\
        --record records/DATE-criteria.md

The value of a sweep that a criterion takes is the best by its mean over seeds; its regret is the
best mean accuracy minus that of the value taken, in points. Sweeps whose accuracies range over less
than three seed standard deviations say nothing and are left out of the means. Intervals: 95 %, by a
bootstrap over clusters (data set and method) and over the sweeps in them.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from criteria import values_of
from peers import peer_values
from scipy import stats
from sweeps import SWEEPS, Sweep, unit

from harness import say, tell

ORACLES = ("logistic", "knn", "5-shot")
LEAST_RANGE = 3.0
DRAWS = 2_000
# rules that need no criterion
RULES = ("default", "random", "largest value", "noise floor")


@dataclass(frozen=True)
class Measured:
    """A sweep with its numbers; arrays are [values, seeds], NaN where a training diverged."""

    sweep: Sweep
    accuracy: dict[str, np.ndarray]
    criteria: dict[str, np.ndarray]

    def means(self, oracle: str) -> np.ndarray:
        """Mean accuracy of each value, points; a value that diverged in every seed has 0."""
        return 100 * np.nan_to_num(self.accuracy[oracle]).mean(axis=1)

    @property
    def seed_sd(self) -> float:
        """Pooled standard deviation between seeds, points."""
        return 100 * float(np.sqrt(np.nanmean(np.nanvar(self.accuracy["logistic"], 1, ddof=1))))

    @property
    def informative(self) -> bool:
        """Whether the values differ by more than chance, by the logistic probe."""
        means = self.means("logistic")
        return bool(np.ptp(means) >= LEAST_RANGE * self.seed_sd)

    def taken(self, name: str) -> int | None:
        """The place of the value that a criterion or rule takes; None for an average."""
        if name == "default":
            return self.sweep.values.index(self.sweep.default)
        if name == "largest value":
            return len(self.sweep.values) - 1
        if name == "random":
            return None
        utility = self.criteria[name].mean(axis=1)
        return int(np.nanargmax(utility)) if np.isfinite(utility).any() else None

    def regret(self, name: str, oracle: str) -> float:
        """Points lost; a criterion that is defined nowhere loses what chance loses."""
        means = self.means(oracle)
        if name == "noise floor":
            seeds = np.nan_to_num(self.accuracy[oracle])
            taken = [
                (k, int(seeds[:, [s for s in range(seeds.shape[1]) if s != k]].mean(1).argmax()))
                for k in range(seeds.shape[1])
            ]
            return float(np.mean([100 * (seeds[:, k].max() - seeds[j, k]) for k, j in taken]))
        place = self.taken(name)
        return float(means.max() - (means.mean() if place is None else means[place]))

    def spearman(self, name: str, oracle: str) -> float:
        """Spearman's correlation of the means of criterion and accuracy over values."""
        utility, means = (
            np.nan_to_num(self.criteria[name].mean(axis=1), nan=-1e9),
            self.means(oracle),
        )
        if np.ptp(utility) == 0 or np.ptp(means) == 0:
            return 0.0
        return float(stats.spearmanr(utility, means).statistic)


def measure(sweep: Sweep, work: Path, seeds: int) -> Measured | None:
    """The numbers of a sweep, where all of its trainings are done."""
    shape = (len(sweep.values), seeds)
    accuracy = {o: np.full(shape, np.nan) for o in ORACLES}
    criteria: dict[str, np.ndarray] = {}
    for i, value in enumerate(sweep.values):
        for k in range(seeds):
            folder = work / "units" / unit(sweep, value, k).key
            if not (folder / "unit.json").is_file():
                return None
            if json.loads((folder / "unit.json").read_text())["outcome"] != "finished":
                continue
            for o, number in json.loads((folder / "accuracy.json").read_text()).items():
                accuracy[o][i, k] = number
            for name, number in values_of(folder).items():
                criteria.setdefault(name, np.full(shape, np.nan))[i, k] = number
    return Measured(sweep, accuracy, criteria | peer_values(sweep, work, seeds))


def summary(measured: list[Measured], rng: np.random.Generator) -> list[str]:
    """A row for each rule and criterion: regrets, correlation, worst choices, differences."""
    known = [m for m in measured if m.informative]
    if not known:
        return ["No sweep is informative."]
    names = [n for n in known[0].criteria if "untrained" not in n]
    lost = {o: {n: np.array([m.regret(n, o) for m in known]) for n in (*RULES, *names)}
            for o in ORACLES}  # fmt: skip
    at = _draws(known, rng)
    rows = []
    for name in (*RULES, *names):
        mine = lost["logistic"][name]
        apart = mine - lost["logistic"]["default"]
        boot = [float(mine[i].mean()) for i in at]
        boot_apart = [float(apart[i].mean()) for i in at]
        above = sum(r > m.regret("random", "logistic") for r, m in zip(mine, known, strict=True))
        cells = [f"{mine.mean():.2f} ({_interval(boot)})"]
        cells += [f"{lost[o][name].mean():.2f}" for o in ORACLES[1:]]
        if name in names:
            cells.append(f"{np.mean([m.spearman(name, 'logistic') for m in known]):+.2f}")
            worst = sum(m.taken(name) == m.means("logistic").argmin() for m in known)
            cells.append(f"{worst}")
        else:
            cells += ["-", "-"]
        cells += [f"{above}", f"{apart.mean():+.2f} ({_interval(boot_apart)})"]
        rows.append((mine.mean(), f"| {name} | {' | '.join(cells)} |"))
    rows.sort(key=lambda row: row[0])
    return [
        f"{len(known)} of {len(measured)} sweeps are informative.",
        "",
        "| criterion | regret, logistic (95 %) | kNN | 5-shot | Spearman | worst taken | sweeps "
        "above random | minus default (95 %) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(line for _, line in rows),
    ]


def _draws(known: list[Measured], rng: np.random.Generator) -> list[np.ndarray]:
    """Indices of sweeps: clusters of data set and method are drawn, then sweeps in them."""
    clusters: dict[tuple[str, str], list[int]] = {}
    for k, m in enumerate(known):
        clusters.setdefault((m.sweep.data, m.sweep.method), []).append(k)
    groups = list(clusters.values())
    draws = []
    for _ in range(DRAWS):
        chosen = rng.integers(0, len(groups), len(groups))
        draws.append(np.concatenate([rng.choice(groups[g], len(groups[g])) for g in chosen]))
    return draws


def _interval(values: list[float]) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:.2f} to {high:.2f}"


def each_sweep(measured: list[Measured], names: list[str]) -> list[str]:
    """A row for each sweep: range, noise, and the regret of some criteria."""
    lines = [
        f"| sweep | best value | range | seed sd | random | default | {' | '.join(names)} |",
        "|---|---|---:|---:|---:|---:|" + "---:|" * len(names),
    ]
    for m in measured:
        means = m.means("logistic")
        note = "" if m.informative else " (says nothing)"
        cells = [f"{m.regret(n, 'logistic'):.1f}" for n in ("random", "default", *names)]
        lines.append(
            f"| {m.sweep.name}{note} | {m.sweep.values[int(means.argmax())]} | {np.ptp(means):.1f} "
            f"| {m.seed_sd:.2f} | {' | '.join(cells)} |"
        )
    return lines


SHOWN = ["view_retrieval/backbone", "cross_view_reliability/backbone", "canonical_sum/backbone",
         "lidar/projector", "rankme/projector", "loss"]  # fmt: skip


def write_csv(measured: list[Measured], path: str) -> None:
    """Every training with all of its numbers."""
    names = sorted({n for m in measured for n in m.criteria})
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sweep", "split", "value", "seed", *ORACLES, *names])
        for m in measured:
            for i, value in enumerate(m.sweep.values):
                for k in range(m.accuracy["logistic"].shape[1]):
                    numbers = [m.accuracy[o][i, k] for o in ORACLES]
                    numbers += [m.criteria[n][i, k] if n in m.criteria else math.nan for n in names]
                    cells = ["" if math.isnan(v) else f"{v:.6g}" for v in numbers]
                    out.writerow([m.sweep.name, m.sweep.split, value, k, *cells])


def main(argv: list[str] | None = None) -> None:
    """Judge what is trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", help="a .md file to write")
    parser.add_argument("--csv", help="a .csv file to write, a row a training")
    options = parser.parse_args(argv)
    done = [
        folder
        for folder in sorted((options.work / "units").iterdir())
        if (folder / "accuracy.json").is_file() and (folder / "unit.json").is_file()
    ]
    with Pool(options.jobs) as pool:
        for count, _ in enumerate(pool.imap_unordered(values_of, done), 1):
            if count % 20 == 0:
                say(f"{count} of {len(done)} trainings judged")
    body = []
    everything = []
    for split in ("development", "confirmation"):
        measured = [
            m
            for s in SWEEPS
            if s.split == split and (m := measure(s, options.work, options.seeds)) is not None
        ]
        everything += measured
        wanted = sum(s.split == split for s in SWEEPS)
        body += [f"## {split}: {len(measured)} of {wanted} sweeps are trained", ""]
        if measured:
            body += [*summary(measured, np.random.default_rng(0)), ""]
            body += [*each_sweep(measured, SHOWN), ""]
    if options.csv:
        write_csv(everything, options.csv)
    tell(
        "Criteria without labels, tried", ("jessl", "torch", "numpy", "scipy"), body, options.record
    )


if __name__ == "__main__":
    main()
