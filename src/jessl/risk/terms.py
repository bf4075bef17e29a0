"""The risks that a decomposition needs: which rows a probe is fitted and evaluated on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.probes import split
from jessl.probes.base import Evaluation, FitRequest, FittedProbe, Options, ProbeKind, evaluate
from jessl.probes.labelled import LabelledRows
from jessl.probes.tuning import (
    FitCallback,
    TuningResult,
    default_folds,
    mean_risk,
    row_risks,
    tune,
)

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DecompositionPlan:
    """Which risks to measure, and how.

    Attributes:
        kind: of probe; options: of the probe, as the user set them.
        by: "error" or "log_loss".
        shared: one set of hyperparameters for all risks; else each risk its own.
        folds: of the pooled held-out risk; None: the default number (ridge: one per row).
        n_sub: rows of the single held-out part of the published estimator; None: pooled.
        seed, device, progress: as for `decompose`.
    """

    kind: ProbeKind
    options: Options
    by: str
    shared: bool
    folds: int | None
    n_sub: int | None
    seed: int
    device: str
    progress: ProgressCallback | None = None

    def risks_of(self, probe: FittedProbe, rows: LabelledRows) -> Values:
        """float64 [n]: the risk of a fitted probe on each row."""
        return row_risks(evaluate(probe, rows.x, rows.y), self.by)

    def fit(self, rows: LabelledRows, options: Options) -> FittedProbe:
        """The probe with complete options, fitted on rows."""
        request = FitRequest.of_all_rows(rows.x, rows.y, [options], self.seed, self.device)
        [probe] = next(self.kind.fit_path(request))
        return probe


@dataclass(eq=False)
class RiskTerms:
    """The risks of the decomposition, item by item.

    Attributes:
        on_train, on_test: {risk: float64 [n], NaN for items that it leaves out}; the same items
            for all risks of one set.
        choices: {risk: its values for each candidate of the hyperparameters that was tried}, where
            the choice changes a risk; `criterion` holds the values that made the choice, on train.
        draws: {risk: [draws]} means over each draw of the few-shot images; empty elsewhere.
        params: the chosen hyperparameters and how they were chosen.
        converged: whether all fits did.
        fit: fits rows and labels with the hyperparameters of the risks that see all their rows.
    """

    on_train: dict[str, Values]
    on_test: dict[str, Values]
    choices: dict[str, list[Values]]
    draws: dict[str, Values]
    params: dict[str, object]
    converged: bool
    fit: Callable[[LabelledRows], FittedProbe] = field(repr=False)


def measure(plan: DecompositionPlan, train: LabelledRows, test: LabelledRows) -> RiskTerms:
    """All risks with all labels of train.

    The cross-validation also fits all rows, as one more fit beside its folds.
    """
    if plan.n_sub is not None:
        return _measure_published(plan, train, test)
    probes: list[FittedProbe] = []
    tuned = _tune(plan, train, probes.append)
    if not probes:
        probes.append(plan.fit(train, tuned.options))
    index = tuned.index if len(probes) > 1 else 0
    choices: dict[str, list[Values]] = {}
    if tuned.held_out is not None:
        choices["part_rest"] = [row_risks(one, plan.by) for one in tuned.evaluations]
        held_out = choices["part_rest"][tuned.index]
    else:
        held_out = row_risks(_pooled_evaluation(plan, train, tuned), plan.by)
    choices["train_test"] = [plan.risks_of(probe, test) for probe in probes]
    choices["train_train"] = [plan.risks_of(probe, train) for probe in probes]
    terms = _terms_without_held_out(plan, train, test, tuned, probes[index])
    terms.on_train["part_rest"] = held_out
    if len(probes) > 1:
        if not plan.shared:
            del choices["train_train"]
        terms.choices |= choices
        terms.choices["criterion"] = [row_risks(one, plan.by) for one in tuned.evaluations]
    return terms


def _measure_published(
    plan: DecompositionPlan, train: LabelledRows, test: LabelledRows
) -> RiskTerms:
    """Tuned on the rows that are not held out, so that held-out labels do not affect the choice."""
    part = _held_out_part(plan, train)
    rest = train.rows(np.flatnonzero(~part))
    if len(np.unique(rest.y)) < 2:
        raise ValueError(
            f"n_sub: expected a part that leaves at least two classes to fit on, got {part.sum()} "
            f"of {len(part)} rows"
        )
    tuned = _tune(plan, rest, None)
    probe_of_rest = plan.fit(rest, tuned.options)
    terms = _terms_without_held_out(plan, train, test, tuned, plan.fit(train, tuned.options))
    held_out = np.full(len(part), np.nan)
    held_out[part] = plan.risks_of(probe_of_rest, train.rows(np.flatnonzero(part)))
    terms.on_train["part_rest"] = held_out
    terms.converged = terms.converged and probe_of_rest.converged
    terms.params["n_sub"] = int(part.sum())
    return terms


def _terms_without_held_out(
    plan: DecompositionPlan,
    train: LabelledRows,
    test: LabelledRows,
    tuned: TuningResult,
    probe: FittedProbe,
) -> RiskTerms:
    """The risks without held-out rows, from the fit of all rows with the chosen options."""
    options = {"part_rest": tuned.options, "train_test": tuned.options}
    both = _concatenate(train, test)
    converged = [probe.converged]
    if plan.shared:
        probe_on_train, probe_on_union = probe, plan.fit(both, tuned.options)
    else:
        probe_on_train, options["train_train"] = _fit_least_training_risk(plan, train)
        probe_on_union, options["union_test"] = _fit_least_training_risk(plan, both)
        converged.append(probe_on_train.converged)
    converged.append(probe_on_union.converged)
    params: dict[str, object] = {"tuning_curve": tuned.curve, "tuned_on": tuned.method}
    params |= tuned.options if plan.shared else {"options_by_risk": options}

    def fit(rows: LabelledRows) -> FittedProbe:
        if plan.shared:
            return plan.fit(rows, tuned.options)
        return _fit_least_training_risk(plan, rows)[0]

    return RiskTerms(
        on_train={"train_train": plan.risks_of(probe_on_train, train)},
        on_test={
            "train_test": plan.risks_of(probe, test),
            "union_test": plan.risks_of(probe_on_union, test),
        },
        choices={},
        draws={},
        params=params,
        converged=all(converged),
        fit=fit,
    )


def measure_few(
    plan: DecompositionPlan,
    train: LabelledRows,
    test: LabelledRows,
    sample: Callable[[int], NDArray[np.intp]],
    draws: int,
) -> RiskTerms:
    """The risks of a probe with few labels: fitted on a few rows, all others held out.

    The risks that see all their rows are those with all labels; each draw is tuned within its rows.

    Args:
        plan, train, test: as for `measure`.
        sample: seed -> rows of train that a draw is fitted on.
        draws: their number.
    """
    terms = measure(plan, train, test)
    held_out_sum = np.zeros(len(train.y))
    times_held_out = np.zeros(len(train.y))
    test_mean = np.zeros(len(test.y))
    means: dict[str, list[float]] = {"part_rest": [], "train_test": []}
    chosen, converged = [], [terms.converged]
    for draw in range(draws):
        seed = plan.seed + 1000 * draw
        picked = sample(seed)
        few = train.rows(picked)
        tuned = tune(
            plan.kind, few.x, few.y, plan.options, units=few.units, by=plan.by, seed=seed,
            device=plan.device, skip_single=True,
        )  # fmt: skip
        probe = plan.fit(few, tuned.options)
        rest = np.setdiff1d(np.arange(len(train.y)), picked)
        if train.units is not None and few.units is not None:
            rest = rest[~np.isin(train.units[rest], few.units)]
        if not len(rest):
            raise ValueError("shots: expected training rows to hold out, got none beside the shots")
        held_out = plan.risks_of(probe, train.rows(rest))
        on_test = plan.risks_of(probe, test)
        held_out_sum[rest] += held_out
        times_held_out[rest] += 1
        test_mean += on_test / draws
        means["part_rest"].append(float(held_out.mean()))
        means["train_test"].append(float(on_test.mean()))
        chosen.append(tuned.options)
        converged.append(probe.converged)
        if plan.progress is not None:
            plan.progress(draw + 1, draws)
    # the held-out risk with all labels is needed for the midpoint
    terms.on_train["all_part_rest"] = terms.on_train["part_rest"]
    if "part_rest" in terms.choices:
        terms.choices["all_part_rest"] = terms.choices["part_rest"]
    with np.errstate(invalid="ignore"):
        terms.on_train["part_rest"] = held_out_sum / times_held_out
    terms.on_test["train_test"] = test_mean
    for name in means:
        terms.choices.pop(name, None)
    terms.draws = {name: np.array(values) for name, values in means.items()}
    terms.params["options_by_draw"] = chosen
    terms.converged = all(converged)
    return terms


def _tune(plan: DecompositionPlan, train: LabelledRows, on_fit: FitCallback | None) -> TuningResult:
    return tune(
        plan.kind,
        train.x,
        train.y,
        plan.options,
        folds=None if plan.kind.default_tuning == "part" else plan.folds,
        units=train.units,
        by=plan.by,
        seed=plan.seed,
        device=plan.device,
        progress=plan.progress,
        on_fit=on_fit,
    )


def _pooled_evaluation(
    plan: DecompositionPlan, train: LabelledRows, tuned: TuningResult
) -> Evaluation:
    """Every training row evaluated by a fit without it, for kinds that are tuned on one part."""
    again = tune(
        plan.kind,
        train.x,
        train.y,
        {k: v for k, v in tuned.options.items() if k in plan.kind.option_names},
        tuning="folds",
        folds=plan.folds or default_folds(len(train.y), train.units),
        units=train.units,
        by=plan.by,
        seed=plan.seed,
        device=plan.device,
    )
    assert again.held_out is not None
    return again.held_out


def _held_out_part(plan: DecompositionPlan, train: LabelledRows) -> NDArray[np.bool_]:
    """bool [n]: the held-out rows, stratified, or about as many in whole groups."""
    n_sub = plan.n_sub or 0
    part = np.zeros(len(train.y), bool)
    if train.units is None:
        part[split.stratified_sample(train.y, n_sub, plan.seed)] = True
    elif len(np.unique(train.units)) < 2:
        raise ValueError("train: expected at least two groups, got one: no rows can be held out")
    else:
        part[split.sample_units(n_sub, plan.seed, train.units)] = True
    return part


def _fit_least_training_risk(
    plan: DecompositionPlan, rows: LabelledRows
) -> tuple[FittedProbe, Options]:
    """The candidate with the least risk on the rows that it is fitted on, the strongest of ties.

    The published protocol tunes these risks in this way.
    """
    path = plan.kind.candidates(plan.options)
    request = FitRequest.of_all_rows(rows.x, rows.y, path, plan.seed, plan.device)
    best: tuple[float, FittedProbe, Options] | None = None
    for options, [probe] in zip(path, plan.kind.fit_path(request), strict=True):
        value = mean_risk(evaluate(probe, rows.x, rows.y), plan.by)
        if best is None or value < best[0]:
            best = value, probe, options
    assert best is not None
    return best[1], best[2]


def _concatenate(train: LabelledRows, test: LabelledRows) -> LabelledRows:
    x, y = np.concatenate([train.x, test.x]), np.concatenate([train.y, test.y])
    return LabelledRows(x, y, np.arange(len(y)), None, 0)
