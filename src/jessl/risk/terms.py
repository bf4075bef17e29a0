"""The risks on the path: which rows a probe is fitted on and which rows it is judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.probes import split
from jessl.probes.base import Evaluation, Fitted, Kind, Options, evaluate
from jessl.probes.labelled import LabelledRows
from jessl.probes.tuning import (
    Tuned,
    Watch,
    default_folds,
    risk,
    settle,
    tune,
    values_of,
)

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DecompositionPlan:
    """What is to be measured, and how.

    Attributes:
        kind: of probe; given: its options as the user set them.
        by: "error" or "log_loss".
        shared: one set of hyperparameters for all risks; else each risk its own.
        folds: of the pooled held-out risk; None: as many as is usual (ridge: one a row).
        n_sub: rows of the one held-out part of the published estimator; None: pooled.
        seed, device, progress: as of `decompose`.
    """

    kind: Kind
    given: Options
    by: str
    shared: bool
    folds: int | None
    n_sub: int | None
    seed: int
    device: str
    progress: ProgressCallback | None = None


@dataclass(eq=False)
class RiskTerms:
    """The risks of the path, item by item.

    Attributes:
        on_train, on_test: {risk: float64 [n], NaN for items that it leaves out}; the same items
            within each.
        choices: {risk: the same for each candidate of the hyperparameters that was tried}, where
            the choice moves a risk; `criterion` is what the choice was made by, on train.
        draws: {risk: [draws]} means over each draw of the few-shot images; empty elsewhere.
        params: what was chosen and how.
        converged: whether all fits were.
        fit: fits rows and labels with the hyperparameters of the risks that see all their rows.
    """

    on_train: dict[str, Values]
    on_test: dict[str, Values]
    choices: dict[str, list[Values]]
    draws: dict[str, Values]
    params: dict[str, Any]
    converged: bool
    fit: Callable[[LabelledRows], Fitted] = field(repr=False)


def measure(asked: DecompositionPlan, train: LabelledRows, test: LabelledRows) -> RiskTerms:
    """All risks with all labels of train.

    The fits of all rows come along with the cross-validation, a fit more among its folds.
    """
    if asked.n_sub is not None:
        return _measure_published(asked, train, test)
    whole: list[Fitted] = []
    tuned = _tuned(asked, train, whole.append)
    if not whole:
        whole.append(_fitted(asked, train, tuned.options))
    at = tuned.at if len(whole) > 1 else 0

    def judged(rows: LabelledRows) -> list[Values]:
        return [values_of(evaluate(one, rows.x, rows.y), asked.by) for one in whole]

    choices: dict[str, list[Values]] = {}
    if tuned.held_out is not None:
        choices["part_rest"] = [values_of(said, asked.by) for said in tuned.tried]
        held = choices["part_rest"][tuned.at]
    else:
        held = values_of(_pooled(asked, train, tuned), asked.by)
    choices["train_test"] = judged(test)
    choices["train_train"] = judged(train)
    terms = _completed(asked, train, test, tuned, whole[at])
    terms.on_train["part_rest"] = held
    if len(whole) > 1:
        if not asked.shared:
            del choices["train_train"]
        terms.choices |= choices
        terms.choices["criterion"] = [values_of(said, asked.by) for said in tuned.tried]
    return terms


def _measure_published(
    asked: DecompositionPlan, train: LabelledRows, test: LabelledRows
) -> RiskTerms:
    """Tuned on the rows that are not held out, so that their labels choose nothing."""
    part = _part(asked, train)
    rest = train.rows(np.flatnonzero(~part))
    if len(np.unique(rest.y)) < 2:
        raise ValueError(
            f"n_sub: {int(part.sum())} of {len(part)} rows leave fewer than two classes to fit on"
        )
    tuned = _tuned(asked, rest, None)
    alone = _fitted(asked, rest, tuned.options)
    terms = _completed(asked, train, test, tuned, _fitted(asked, train, tuned.options))
    held = np.full(len(part), np.nan)
    held[part] = values_of(evaluate(alone, train.x[part], train.y[part]), asked.by)
    terms.on_train["part_rest"] = held
    terms.converged = terms.converged and alone.converged
    terms.params["n_sub"] = int(part.sum())
    return terms


def _completed(
    asked: DecompositionPlan, train: LabelledRows, test: LabelledRows, tuned: Tuned, whole: Fitted
) -> RiskTerms:
    """The risks that do not hold out rows, from the fit of all rows with the chosen options."""
    options = {"part_rest": tuned.options, "train_test": tuned.options}
    both = _joined(train, test)
    settled = [whole.converged]
    if asked.shared:
        seen, union = whole, _fitted(asked, both, tuned.options)
    else:
        seen, options["train_train"] = _least_on_itself(asked, train)
        union, options["union_test"] = _least_on_itself(asked, both)
        settled.append(seen.converged)
    settled.append(union.converged)
    params: dict[str, Any] = {"tuning_curve": tuned.curve, "tuned_on": tuned.how}
    params |= tuned.options if asked.shared else {"options_by_risk": options}

    def fit(rows: LabelledRows) -> Fitted:
        if asked.shared:
            return _fitted(asked, rows, tuned.options)
        return _least_on_itself(asked, rows)[0]

    return RiskTerms(
        {"train_train": values_of(evaluate(seen, train.x, train.y), asked.by)},
        {
            "train_test": values_of(evaluate(whole, test.x, test.y), asked.by),
            "union_test": values_of(evaluate(union, test.x, test.y), asked.by),
        },
        {},
        {},
        params,
        all(settled),
        fit,
    )


def measure_few(
    asked: DecompositionPlan,
    train: LabelledRows,
    test: LabelledRows,
    pick: Callable[[int], NDArray[np.intp]],
    draws: int,
) -> RiskTerms:
    """The risks when the probe has few labels: fitted on a few rows, held out are all others.

    The risks that see all their rows are as with all labels; each draw is tuned within its rows.

    Args:
        pick: seed -> rows of train that a draw is fitted on.
        draws: how many.
    """
    whole = measure(asked, train, test)
    held = np.zeros(len(train.y))
    times = np.zeros(len(train.y))
    unseen = np.zeros(len(test.y))
    means: dict[str, list[float]] = {"part_rest": [], "train_test": []}
    chosen, settled = [], [whole.converged]
    for draw in range(draws):
        seed = asked.seed + 1000 * draw
        kept = pick(seed)
        few = train.rows(kept)
        tuned = settle(
            asked.kind, few.x, few.y, asked.given, units=few.units, by=asked.by, seed=seed,
            device=asked.device,
        )  # fmt: skip
        fitted = _fitted(asked, few, tuned.options)
        rest = np.setdiff1d(np.arange(len(train.y)), kept)
        if train.units is not None and few.units is not None:
            rest = rest[~np.isin(train.units[rest], few.units)]
        if not len(rest):
            raise ValueError("shots: no training row is left to be held out")
        one = values_of(evaluate(fitted, train.x[rest], train.y[rest]), asked.by)
        two = values_of(evaluate(fitted, test.x, test.y), asked.by)
        held[rest] += one
        times[rest] += 1
        unseen += two / draws
        means["part_rest"].append(float(one.mean()))
        means["train_test"].append(float(two.mean()))
        chosen.append(tuned.options)
        settled.append(fitted.converged)
        if asked.progress is not None:
            asked.progress(draw + 1, draws)
    # what probes of all labels say of rows that they lack stays, for the midpoint
    whole.on_train["all_part_rest"] = whole.on_train["part_rest"]
    if "part_rest" in whole.choices:
        whole.choices["all_part_rest"] = whole.choices["part_rest"]
    with np.errstate(invalid="ignore"):
        whole.on_train["part_rest"] = held / times
    whole.on_test["train_test"] = unseen
    for name in means:
        whole.choices.pop(name, None)
    whole.draws = {name: np.array(found) for name, found in means.items()}
    whole.params["options_by_draw"] = chosen
    whole.converged = all(settled)
    return whole


def _tuned(asked: DecompositionPlan, train: LabelledRows, watch: Watch | None) -> Tuned:
    return tune(
        asked.kind,
        train.x,
        train.y,
        asked.given,
        folds=None if asked.kind.tuning == "part" else asked.folds,
        units=train.units,
        by=asked.by,
        seed=asked.seed,
        device=asked.device,
        progress=asked.progress,
        watch=watch,
    )


def _pooled(asked: DecompositionPlan, train: LabelledRows, tuned: Tuned) -> Evaluation:
    """Every training row judged by a fit that lacks it, for kinds that are tuned on one part."""
    again = tune(
        asked.kind,
        train.x,
        train.y,
        {k: v for k, v in tuned.options.items() if k in asked.kind.takes},
        tuning="folds",
        folds=asked.folds or default_folds(len(train.y), train.units),
        units=train.units,
        by=asked.by,
        seed=asked.seed,
        device=asked.device,
    )
    assert again.held_out is not None
    return again.held_out


def _part(asked: DecompositionPlan, train: LabelledRows) -> NDArray[np.bool_]:
    """bool [n]: the held-out rows, stratified, or about as many in whole groups."""
    n_sub = asked.n_sub or 0
    part = np.zeros(len(train.y), bool)
    if train.units is None:
        part[split.stratified(train.y, n_sub, asked.seed)] = True
    elif len(np.unique(train.units)) < 2:
        raise ValueError("train: all its labelled rows are one group: none can be held out")
    else:
        part[split.part_of_units(n_sub, asked.seed, train.units)] = True
    return part


def _fitted(asked: DecompositionPlan, rows: LabelledRows, options: Options) -> Fitted:
    every = [np.ones(len(rows.y), bool)]
    [fitted] = next(asked.kind.fits(rows.x, rows.y, every, [options], asked.seed, asked.device))
    return fitted


def _least_on_itself(asked: DecompositionPlan, rows: LabelledRows) -> tuple[Fitted, Options]:
    """The candidate with the least risk on the rows that it is fitted on, the strongest of equal
    ones, as the published protocol tunes these risks."""
    path = asked.kind.candidates(asked.given)
    every = [np.ones(len(rows.y), bool)]
    best: tuple[float, Fitted, Options] | None = None
    fits = asked.kind.fits(rows.x, rows.y, every, path, asked.seed, asked.device)
    for options, [fitted] in zip(path, fits, strict=True):
        value = risk(evaluate(fitted, rows.x, rows.y), asked.by)
        if best is None or value < best[0]:
            best = value, fitted, options
    assert best is not None
    return best[1], best[2]


def _joined(train: LabelledRows, test: LabelledRows) -> LabelledRows:
    x, y = np.concatenate([train.x, test.x]), np.concatenate([train.y, test.y])
    return LabelledRows(x, y, np.arange(len(y)), None, 0)
