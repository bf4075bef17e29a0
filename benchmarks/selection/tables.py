"""The tables of the trial: every rule and criterion, paired differences, every sweep."""

from __future__ import annotations

import csv
import math
from collections import Counter

import numpy as np
from measured import ORACLES, PANELS, RULES, Measured, abstains
from scipy import stats

DRAWS = 2_000
# against what a criterion is compared in pairs
RIVALS = ("default", "random", "rankme/projector", "lidar/projector", "loss")
SHOWN = ("view_retrieval/backbone", "cross_view_reliability/backbone", "canonical_sum/backbone",
         PANELS[0], "lidar/projector", "rankme/projector", "loss")  # fmt: skip


class Summary:
    """Regrets of all rules and criteria over the informative sweeps.

    Intervals: 95 %, by a bootstrap over clusters (data set and method) and over the sweeps in them.
    """

    def __init__(self, measured: list[Measured]) -> None:
        self._all = measured
        self._known = [m for m in measured if m.informative]
        self._at = _draws(self._known, np.random.default_rng(0)) if self._known else []

    def regrets(self, name: str, oracle: str = "logistic") -> np.ndarray:
        """Of each informative sweep, points."""
        return np.array([m.regret(name, oracle) for m in self._known])

    def lines(self) -> list[str]:
        """A row for each rule and criterion: regrets, correlation, worst choices, differences."""
        if not self._known:
            return ["No sweep is informative."]
        names = self._known[0].names
        rows = []
        for name in (*RULES, *PANELS, *names):
            mine = self.regrets(name)
            above = int((mine > self.regrets("random") + 1e-9).sum())
            cells = [self._mean(mine)]
            cells += [_plain_mean(self.regrets(name, o)) for o in ORACLES[1:]]
            if name in names:
                cells.append(f"{np.mean([m.spearman(name, 'logistic') for m in self._known]):+.2f}")
            else:
                cells.append("-")
            if name in RULES[1:]:
                cells.append("-")
            else:
                worst = sum(m.taken(name) == m.means("logistic").argmin() for m in self._known)
                cells.append(f"{worst}")
            cells += [f"{above}", self._mean(mine - self.regrets("default"), "+")]
            rows.append(
                (
                    -math.inf if np.isnan(mine).all() else float(np.nanmean(mine)),
                    f"| {name} | {' | '.join(cells)} |",
                )
            )
        rows.sort(key=lambda row: row[0])
        seeds = Counter(m.seeds for m in self._all)
        return [
            f"{len(self._known)} of {len(self._all)} sweeps are informative; "
            + ", ".join(f"{n} with {k} seed{'s' * (k > 1)}" for k, n in sorted(seeds.items()))
            + f". The panel abstains in {sum(map(abstains, self._known))} of the informative.",
            "",
            "| criterion | regret, logistic (95 %) | kNN | 5-shot | Spearman | worst taken | "
            "sweeps above random | minus default (95 %) |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
            *(line for _, line in rows),
        ]

    def pairs(self, names: tuple[str, ...]) -> list[str]:
        """Paired differences of criteria and rivals, points of logistic regret."""
        if not self._known:
            return []
        lines = [
            f"| regret of the row minus that of | {' | '.join(RIVALS)} |",
            "|---|" + "---:|" * len(RIVALS),
        ]
        for name in names:
            apart = [self._mean(self.regrets(name) - self.regrets(r), "+") for r in RIVALS]
            lines.append(f"| {name} | {' | '.join(apart)} |")
        return lines

    def _mean(self, values: np.ndarray, sign: str = "") -> str:
        if np.isnan(values).all():
            return "needs two seeds"
        boot = [float(np.nanmean(values[i])) for i in self._at if not np.isnan(values[i]).all()]
        low, high = np.quantile(boot, [0.025, 0.975])
        return f"{np.nanmean(values):{sign}.2f} ({low:.2f} to {high:.2f})"


def _plain_mean(values: np.ndarray) -> str:
    return "-" if np.isnan(values).all() else f"{np.nanmean(values):.2f}"


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


def each_sweep(measured: list[Measured], names: tuple[str, ...] = SHOWN) -> list[str]:
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


def across(measured: list[Measured], names: tuple[str, ...]) -> list[str]:
    """Spearman's correlation over trainings that label-free scores are not made to compare.

    A row for all trainings of a data set, whatever their method, and one for networks of several
    widths.
    """
    by_data: dict[str, list[Measured]] = {}
    for m in measured:
        where = m.sweep.name if m.sweep.split == "across" else m.sweep.data
        by_data.setdefault(where, []).append(m)
    lines = [
        f"| all trainings of | methods | values | {' | '.join(names)} |",
        "|---|---|---:|" + "---:|" * len(names),
    ]
    for where, members in by_data.items():
        methods = {m.sweep.method for m in members}
        cells = []
        for name in names:
            pairs = [
                (u, a)
                for m in members
                for u, a in zip(m.criteria[name].mean(axis=1), m.means("logistic"), strict=True)
                if math.isfinite(u) and a > 0
            ]
            cells.append(f"{stats.spearmanr(*zip(*pairs, strict=True)).statistic:+.2f}")
        lines.append(f"| {where} | {len(methods)} | {len(pairs)} | {' | '.join(cells)} |")
    return lines


def write_csv(measured: list[Measured], path: str) -> None:
    """Every training with all of its numbers."""
    names = sorted({n for m in measured for n in m.criteria})
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sweep", "split", "value", "seed", *ORACLES, *names])
        for m in measured:
            for i, value in enumerate(m.sweep.values):
                for k in range(m.seeds):
                    numbers = [m.accuracy[o][i, k] for o in ORACLES]
                    numbers += [m.criteria[n][i, k] if n in m.criteria else math.nan for n in names]
                    cells = ["" if math.isnan(v) else f"{v:.6g}" for v in numbers]
                    out.writerow([m.sweep.name, m.sweep.split, value, k, *cells])
