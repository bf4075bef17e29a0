"""A sweep with its numbers: what each rule takes, and what that loses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from criteria import DEVIATION, values_of
from panel_rule import ABSTAINED, panel_places
from peers import peer_values
from scipy import stats
from sweeps import Sweep, unit

ORACLES = ("logistic", "knn", "5-shot")
LEAST_RANGE = 3.0
# points; where no sweep has two seeds, the spread between seeds is unknown
_ASSUMED_SD = 0.5
# rules that need no criterion
RULES = ("default", "random", "largest value", "noise floor")
PANELS = ("panel (default where it abstains)", "panel (Borda alone)")


@dataclass(frozen=True)
class Measured:
    """A sweep with its numbers; arrays are [values, seeds], NaN where a training diverged.

    Attributes:
        sweep: which.
        accuracy: oracle -> 0 .. 1; criteria: name -> value, larger is better.
        panel: rule of the panel -> place of the value it takes, None for abstention.
        seed_sd: standard deviation of the accuracy between seeds, points; of all sweeps of the data
            set together where this one has a single seed.
    """

    sweep: Sweep
    accuracy: dict[str, np.ndarray]
    criteria: dict[str, np.ndarray]
    panel: dict[str, int | None]
    seed_sd: float

    @property
    def seeds(self) -> int:
        """Trainings of each value."""
        return self.accuracy["logistic"].shape[1]

    def means(self, oracle: str) -> np.ndarray:
        """Mean accuracy of each value, points; a value that diverged in every seed has 0."""
        return 100 * np.nan_to_num(self.accuracy[oracle]).mean(axis=1)

    @property
    def informative(self) -> bool:
        """Whether the values differ by more than chance, by the logistic probe."""
        means = self.means("logistic")
        return bool(np.ptp(means) >= LEAST_RANGE * self.seed_sd)

    @property
    def names(self) -> list[str]:
        """The criteria that can choose."""
        return [n for n in self.criteria if "untrained" not in n and DEVIATION not in n]

    def taken(self, name: str) -> int | None:
        """The place of the value that a criterion or rule takes; None for an average."""
        if name == "default":
            return self.sweep.values.index(self.sweep.default)
        if name == "largest value":
            return len(self.sweep.values) - 1
        if name == "random":
            return None
        if name in self.panel:
            place = self.panel[name]
            return self.sweep.values.index(self.sweep.default) if place is None else place
        utility = self.criteria[name].mean(axis=1)
        return int(np.nanargmax(utility)) if np.isfinite(utility).any() else None

    def regret(self, name: str, oracle: str) -> float:
        """Points lost; a criterion that is defined nowhere loses what chance loses."""
        means = self.means(oracle)
        if name == "noise floor":
            return self._noise_floor(oracle)
        place = self.taken(name)
        return float(means.max() - (means.mean() if place is None else means[place]))

    def _noise_floor(self, oracle: str) -> float:
        """What the labels of the other seeds lose on one seed; NaN with a single seed."""
        seeds = np.nan_to_num(self.accuracy[oracle])
        if self.seeds < 2:
            return float("nan")
        lost = []
        for k in range(self.seeds):
            others = [s for s in range(self.seeds) if s != k]
            lost.append(seeds[:, k].max() - seeds[seeds[:, others].mean(1).argmax(), k])
        return 100 * float(np.mean(lost))

    def spearman(self, name: str, oracle: str) -> float:
        """Spearman's correlation of the means of criterion and accuracy over values."""
        utility = np.nan_to_num(self.criteria[name].mean(axis=1), nan=-1e9)
        means = self.means(oracle)
        if np.ptp(utility) == 0 or np.ptp(means) == 0:
            return 0.0
        return float(stats.spearmanr(utility, means).statistic)


def measure_all(sweeps: list[Sweep], work: Path, seeds: int) -> list[Measured]:
    """The sweeps all of whose trainings of the first seed are done, each with as many whole seeds.

    The order of `sweeps` is kept.
    """
    drafts = []
    for sweep in sweeps:
        whole = 0
        while whole < seeds and all(
            (work / "units" / unit(sweep, v, whole).key / "unit.json").is_file()
            for v in sweep.values
        ):
            whole += 1
        if whole:
            drafts.append((sweep, *_numbers(sweep, work, whole)))
    measured = []
    for (sweep, accuracy, criteria), sd in zip(drafts, seed_spreads(drafts), strict=True):
        panel = dict(zip(PANELS, panel_places(sweep, criteria), strict=True))
        measured.append(Measured(sweep, accuracy, criteria, panel, sd))
    return measured


def seed_spreads(
    drafts: list[tuple[Sweep, dict[str, np.ndarray], dict[str, np.ndarray]]],
) -> list[float]:
    """Of each sweep the standard deviation between seeds, points; with a single seed that of all
    sweeps of its data set, else of all."""
    within: dict[str, list[float]] = {}
    for sweep, accuracy, _ in drafts:
        if accuracy["logistic"].shape[1] > 1:
            within.setdefault(sweep.data, []).append(_variance(accuracy))
    every = [v for variances in within.values() for v in variances]
    spreads = []
    for sweep, accuracy, _ in drafts:
        if accuracy["logistic"].shape[1] > 1:
            spreads.append(float(np.sqrt(_variance(accuracy))))
        else:
            pooled = within.get(sweep.data, every)
            spreads.append(float(np.sqrt(np.mean(pooled))) if pooled else _ASSUMED_SD)
    return spreads


def _variance(accuracy: dict[str, np.ndarray]) -> float:
    """Of the logistic accuracy between seeds, points squared, pooled over the values."""
    return 1e4 * float(np.nanmean(np.nanvar(accuracy["logistic"], axis=1, ddof=1)))


def _numbers(
    sweep: Sweep, work: Path, seeds: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    shape = (len(sweep.values), seeds)
    accuracy = {o: np.full(shape, np.nan) for o in ORACLES}
    criteria: dict[str, np.ndarray] = {}
    for i, value in enumerate(sweep.values):
        for k in range(seeds):
            folder = work / "units" / unit(sweep, value, k).key
            if json.loads((folder / "unit.json").read_text())["outcome"] != "finished":
                continue
            for o, number in json.loads((folder / "accuracy.json").read_text()).items():
                accuracy[o][i, k] = number
            for name, number in values_of(folder).items():
                criteria.setdefault(name, np.full(shape, np.nan))[i, k] = number
    return accuracy, criteria | peer_values(sweep, work, seeds)


def abstains(measured: Measured) -> bool:
    """Whether the panel keeps the default."""
    return measured.panel[PANELS[0]] is ABSTAINED
