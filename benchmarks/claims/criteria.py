"""Claims on choosing without labels, from the trainings of a committed table.

    python benchmarks/claims/criteria.py rankme-within-method

The table is benchmarks/records/2026-11-29-criteria.csv: 45 sweeps of one hyperparameter each, with
every label-free score and three accuracies of every training (benchmarks/selection/judge.py).
Nothing is trained. A sweep is informative where its accuracies range over three standard
deviations between seeds or more. Intervals draw whole sweeps, with the seeds that they have.
"""

from __future__ import annotations

import csv
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selection"))

import numpy as np
from measured import Measured, seed_spreads
from panel_rule import panel_places
from scipy import stats
from script import Options, Outcome, main
from sweeps import SWEEPS
from tables import ORACLES, PANELS

from jessl.claims.decision import MORE, NOT_LESS, SAME, ClaimPart
from jessl.claims.intervals import over_groups

TABLE = "2026-11-29-criteria.csv"
RANKME, RETRIEVAL = "rankme/projector", "view_retrieval/backbone"
# fields of a sweep -> kind of hyperparameter
KINDS = {
    "learning rate": ("lr",),
    "weight decay": ("weight_decay",),
    "temperature": ("temperature", "student_temperature", "teacher_temperature", "epsilon"),
    "weight of a term of the loss": ("cov", "inv", "lambd", "beta"),
    "views": ("min_scale", "strength"),
}


def sweeps(options: Options) -> list[Measured]:
    """Every sweep of the table but that across widths, as the selection benchmark has them."""
    with (options.records.parent / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_sweep = {name: list(some) for name, some in itertools.groupby(rows, lambda r: r["sweep"])}
    drafts = []
    for sweep in SWEEPS:
        mine = by_sweep.get(sweep.name)
        if mine is None or sweep.split == "across":
            continue
        seeds = 1 + max(int(r["seed"]) for r in mine)
        columns = [c for c in mine[0] if c not in ("sweep", "split", "value", "seed")]
        values = {
            c: np.array([float(r[c] or "nan") for r in mine]).reshape(len(sweep.values), seeds)
            for c in columns
        }
        accuracy = {o: values.pop(o) for o in ORACLES}
        drafts.append((sweep, accuracy, values))
    measured = []
    for (sweep, accuracy, values), sd in zip(drafts, seed_spreads(drafts), strict=True):
        places = dict(zip(PANELS, panel_places(sweep, values), strict=True))
        measured.append(Measured(sweep, accuracy, values, places, sd))
    return measured


def _kind(one: Measured) -> str:
    field = one.sweep.field.rpartition(".")[2]
    return next((k for k, fields in KINDS.items() if field in fields), "batch or projector")


def _mean_part(
    name: str, values: list[float], smallest: float, rule: str | None, unit: str, n: str = "sweeps"
) -> ClaimPart:
    array = np.asarray(values)
    estimate = over_groups(lambda rows: float(array[rows].mean()), list(range(len(array))))
    return ClaimPart(name, *estimate, smallest, rule, unit, f"{len(array)} {n}")


def _informative(options: Options) -> list[Measured]:
    return [m for m in sweeps(options) if m.informative]


def within_method(options: Options) -> Outcome:
    """Spearman of RankMe and accuracy over the values of a sweep, by kind of hyperparameter."""
    known = _informative(options)
    rho = {m.sweep.name: m.spearman(RANKME, "logistic") for m in known}
    parts = [_mean_part("all sweeps, linear", list(rho.values()), 0.5, MORE, "Spearman")]
    for kind in dict.fromkeys(_kind(m) for m in known):
        some = [rho[m.sweep.name] for m in known if _kind(m) == kind]
        if len(some) > 1:
            parts.append(_mean_part(f"{kind}, linear", some, 0.5, None, "Spearman"))
    few = [m.spearman(RANKME, "5-shot") for m in known]
    parts.append(_mean_part("all sweeps, 5-shot", few, 0.5, None, "Spearman"))
    view = [m.spearman(RETRIEVAL, "logistic") for m in known]
    parts.append(
        _mean_part("view retrieval instead of RankMe, linear", view, 0.5, None, "Spearman")
    )
    body = ["| sweep | seeds | Spearman of RankMe and the linear accuracy |", "|---|---:|---:|"]
    body += [f"| {m.sweep.name} | {m.seeds} | {rho[m.sweep.name]:+.2f} |" for m in known]
    return Outcome(parts, [f"{len(known)} informative of {len(sweeps(options))} sweeps"], body)


def beats_random(options: Options) -> Outcome:
    """How much more a value at random loses than the one with the highest RankMe."""
    return _regrets(options, "random", RANKME, "a value at random", "RankMe")


def half_a_point(options: Options) -> Outcome:
    """The regret of RankMe, with its sign turned: no less than half a point below the best."""
    known = _informative(options)
    parts = []
    for oracle, rule in (("logistic", NOT_LESS), ("5-shot", None)):
        lost = [-m.regret(RANKME, oracle) for m in known]
        parts.append(
            _mean_part(f"RankMe's choice minus the best value, {oracle}", lost, 0.5, rule, "points")
        )
    return Outcome(parts)


def _regrets(
    options: Options, first: str, second: str, first_name: str, second_name: str, rule: str = MORE
) -> Outcome:
    known = _informative(options)
    parts = []
    for oracle in ("logistic", "5-shot"):
        gain = [m.regret(first, oracle) - m.regret(second, oracle) for m in known]
        parts.append(
            _mean_part(
                f"regret of {first_name} minus that of {second_name}, {oracle}",
                gain,
                0.5,
                rule if oracle == "logistic" else None,
                "points",
            )
        )
    return Outcome(parts)


def _confirmed(options: Options) -> list[Measured]:
    """Sweeps that were trained after the criteria were frozen."""
    return [m for m in _informative(options) if m.sweep.split == "confirmation"]


def retrieval_better(options: Options) -> Outcome:
    """View retrieval against the default setting and RankMe, on sweeps after the freeze."""
    known = _confirmed(options)
    parts = []
    for rival, name in (("default", "the default setting"), (RANKME, "RankMe")):
        gain = [m.regret(rival, "logistic") - m.regret(RETRIEVAL, "logistic") for m in known]
        parts.append(
            _mean_part(f"regret of {name} minus that of view retrieval", gain, 0.5, MORE, "points")
        )
    return Outcome(parts)


def retrieval_half_a_point(options: Options) -> Outcome:
    """The regret of view retrieval on sweeps after the freeze, with its sign turned."""
    lost = [-m.regret(RETRIEVAL, "logistic") for m in _confirmed(options)]
    part = _mean_part("view retrieval's choice minus the best value", lost, 0.5, NOT_LESS, "points")
    return Outcome([part])


def vote(options: Options) -> Outcome:
    """The panel's regret against that of view retrieval alone."""
    known = _confirmed(options)
    gain = [m.regret(RETRIEVAL, "logistic") - m.regret(PANELS[0], "logistic") for m in known]
    part = _mean_part("regret of view retrieval minus that of the vote", gain, 0.5, MORE, "points")
    return Outcome([part])


def loss_says_nothing(options: Options) -> Outcome:
    """Spearman of the loss (lower is better) and the accuracy."""
    known = _informative(options)
    rho = {m.sweep.name: m.spearman("loss", "logistic") for m in known}
    parts = [_mean_part("all sweeps", list(rho.values()), 0.3, SAME, "Spearman")]
    for kind in dict.fromkeys(_kind(m) for m in known):
        some = [rho[m.sweep.name] for m in known if _kind(m) == kind]
        if len(some) > 1:
            parts.append(_mean_part(kind, some, 0.3, None, "Spearman"))
    return Outcome(parts)


def alpha_req(options: Options) -> Outcome:
    """Spearman of minus |alpha - 1| and the accuracy."""
    known = _informative(options)
    parts = []
    for layer, rule in (("backbone", MORE), ("projector", None)):
        rho = [m.spearman(f"alpha_req near 1/{layer}", "logistic") for m in known]
        parts.append(_mean_part(layer, rho, 0.3, rule, "Spearman"))
    return Outcome(parts)


def between_seeds(options: Options) -> Outcome:
    """Whether the seed with the higher RankMe is the more accurate one."""
    pairs: dict[str, list[float]] = {}
    for m in sweeps(options):
        if m.seeds < 2:
            continue
        rank, accuracy = m.criteria[RANKME], m.accuracy["logistic"]
        for first, second in itertools.combinations(range(m.seeds), 2):
            signs = np.sign(rank[:, first] - rank[:, second]) * np.sign(
                accuracy[:, first] - accuracy[:, second]
            )
            known = signs[np.isfinite(signs)]
            pairs.setdefault(m.sweep.name, []).extend((known + 1) / 2)
    groups = [name for name, some in pairs.items() for _ in some]
    right = np.array([v for some in pairs.values() for v in some])
    estimate = over_groups(lambda rows: float(right[rows].mean()) - 0.5, groups)
    part = ClaimPart(
        "share of pairs of seeds in the right order, minus a half",
        *estimate,
        0.1,
        MORE,
        "share",
        f"{len(right)} pairs in {len(pairs)} sweeps",
    )
    return Outcome([part])


def few_shot_order(options: Options) -> Outcome:
    """How much less the 5-shot order agrees with the linear one than another seed's linear order.

    Two measurements of the same trainings agree by the noise that they share, so the order by one
    accuracy of one seed is compared with the orders by both accuracies of the other seed.
    """
    measured = sweeps(options)
    parts, notes = [], []
    for data in dict.fromkeys(m.sweep.data for m in measured):
        some = [m for m in measured if m.sweep.data == data]
        groups, pairs = _pairs(some)
        linear, few = pairs[:, 0], pairs[:, 1]
        estimate = over_groups(lambda r, a=linear, b=few: 1 - _tau(a[r], b[r]), groups)
        parts.append(
            ClaimPart(
                f"1 minus tau of linear and 5-shot accuracy, same trainings, {data}",
                *estimate,
                0.1,
                None,
                "tau",
                f"{len(pairs)} trainings of {len(some)} sweeps",
            )
        )
        two = [m for m in some if m.seeds > 1]
        if len(two) < 2:
            notes.append(f"{data}: two seeds in {len(two)} sweeps, too few to compare seeds")
            continue
        groups, both = _pairs_of_seeds(two)

        def gap(rows: np.ndarray, both: np.ndarray = both) -> float:
            first, second, few_first, few_second = both[rows].T
            crossed = (_tau(first, few_second) + _tau(few_first, second)) / 2
            return _tau(first, second) - crossed

        parts.append(
            ClaimPart(
                f"tau of linear and linear minus tau of linear and 5-shot, between seeds, {data}",
                *over_groups(gap, groups),
                0.1,
                MORE,
                "tau",
                f"{len(both)} settings of {len(two)} sweeps, two seeds each",
            )
        )
    return Outcome(parts, notes)


def _pairs(some: list[Measured]) -> tuple[list[str], np.ndarray]:
    """(sweep of each training, [trainings, (linear, 5-shot)])."""
    groups, rows = [], []
    for m in some:
        for place in np.ndindex(m.accuracy["logistic"].shape):
            pair = [m.accuracy[o][place] for o in ("logistic", "5-shot")]
            if np.isfinite(pair).all():
                groups.append(m.sweep.name)
                rows.append(pair)
    return groups, np.array(rows)


def _pairs_of_seeds(some: list[Measured]) -> tuple[list[str], np.ndarray]:
    """(sweep of each setting, [settings, (linear, linear, 5-shot, 5-shot) of seeds 0 and 1])."""
    groups, rows = [], []
    for m in some:
        table = np.concatenate([m.accuracy[o][:, :2] for o in ("logistic", "5-shot")], axis=1)
        known = table[np.isfinite(table).all(axis=1)]
        groups += [m.sweep.name] * len(known)
        rows.append(known)
    return groups, np.concatenate(rows)


def _tau(a: np.ndarray, b: np.ndarray) -> float:
    return float(stats.kendalltau(a, b).statistic)


def weak_views(options: Options) -> Outcome:
    """The accuracy without colour jitter and with large crops, against the best value."""
    parts = []
    for m in sweeps(options):
        field = m.sweep.field.rpartition(".")[2]
        if m.sweep.method != "simclr" or field not in ("strength", "min_scale"):
            continue
        weak = 0 if field == "strength" else len(m.sweep.values) - 1
        what = "no colour jitter" if field == "strength" else "crops of nine tenths"
        default = m.sweep.values.index(m.sweep.default)
        for oracle, rule in (("logistic", NOT_LESS), ("5-shot", None)):
            gap = 100 * (m.accuracy[oracle][weak] - m.accuracy[oracle][default])
            # one or two trainings: the spread between seeds of all sweeps of the data set
            half = 1.96 * m.seed_sd * np.sqrt(2 / len(gap))
            mean = float(gap.mean())
            parts.append(
                ClaimPart(
                    f"{what} minus the default, {m.sweep.data}, {oracle}",
                    mean,
                    mean - half,
                    mean + half,
                    2.0,
                    rule,
                    "points",
                    f"{len(gap)} seeds; spread of all sweeps",
                )
            )
    return Outcome(parts)


TESTS = {
    "rankme-within-method": within_method,
    "rankme-hyperparameters": beats_random,
    "rankme-half-a-point": half_a_point,
    "rankme-seeds": between_seeds,
    "view-retrieval-chooses": retrieval_better,
    "view-retrieval-half-a-point": retrieval_half_a_point,
    "vote-of-three": vote,
    "loss-says-nothing": loss_says_nothing,
    "alpha-req-near-one": alpha_req,
    "own-few-shot-order": few_shot_order,
    "simclr-weak-views": weak_views,
}

if __name__ == "__main__":
    main(TESTS, __doc__)
