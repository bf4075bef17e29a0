"""Choice of hyperparameters by training rows only, with the held-out errors that it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice, check_int
from jessl.probes import split
from jessl.probes.base import (
    Evaluation,
    Features,
    FitRequest,
    FittedProbe,
    Labels,
    Options,
    ProbeKind,
    evaluate,
)

FOLDS = 5
# with few rows, leaving out a fifth matters: fits on nine tenths are closer to the fit of all
MANY_FOLDS, FEW_ROWS = 10, 5000
TUNINGS = ("folds", "leave-one-out", "part")
FitCallback = Callable[[FittedProbe], None]
Curve = dict[str, list[float]]


@dataclass(frozen=True)
class TuningResult:
    """Chosen hyperparameters.

    Attributes:
        options: all options of the kind.
        curve: {hyperparameter: [...], criterion: [...]} in the order tried; None where there was
            nothing to choose.
        method: how they were chosen, in words; None where there was nothing to choose.
        evaluations: for each candidate tried, every training row evaluated by a fit without it;
            empty where the choice did not need that.
        index: of the chosen candidate.
    """

    options: Options
    curve: Curve | None
    method: str | None
    evaluations: tuple[Evaluation, ...] = ()
    index: int = 0

    @property
    def held_out(self) -> Evaluation | None:
        """Held-out rows evaluated by fits with the chosen options."""
        return self.evaluations[self.index] if self.evaluations else None


def default_folds(n: int, units: NDArray[np.int64] | None = None) -> int:
    """10 up to 5,000 rows, else 5; never more than rows or groups."""
    most = n if units is None else len(np.unique(units))
    return min(most, MANY_FOLDS if n <= FEW_ROWS else FOLDS)


def tune(
    kind: ProbeKind,
    x: Features,
    y: Labels,
    options: Options,
    *,
    tuning: str | None = None,
    folds: int | None = None,
    units: NDArray[np.int64] | None = None,
    others: tuple[Features, Labels] | None = None,
    by: str = "error",
    seed: int = 0,
    device: str = "cpu",
    progress: ProgressCallback | None = None,
    on_fit: FitCallback | None = None,
    skip_single: bool = False,
) -> TuningResult:
    """Choose the candidate with the smallest error on held-out rows.

    The path of candidates runs from strong to weak regularisation. It ends after two rises in a
    row where the last one is beyond noise: paired with the best so far on the same rows, the mean
    difference is above 2 standard errors. So few rows are tuned along the whole path. Ties go to
    the strongest.

    Args:
        kind: of probe.
        x, y: training rows [n, d] and labels [n].
        options: that the user set.
        tuning: "folds": cross-validation; "leave-one-out", for kinds that have it in closed form;
            "part": a stratified fifth is held out; None: the default of the kind.
        folds: number of folds; None: 10 up to 5,000 rows, else 5.
        units: [n], rows with equal values stay on one side of every split.
        others: further labelled rows to choose by (the published few-shot protocol).
        by: "error" or "log_loss".
        seed: of splits and fits.
        device: of the fits.
        progress: called with (candidates done, of how many).
        on_fit: called with the fit of all rows for each candidate tried, in order; only with
            cross-validation and leave-one-out.
        skip_single: return a single candidate without fits; `tuning` and `folds` must then be None.

    Raises:
        ValueError: for an unknown tuning, one that the kind lacks, values out of range.
    """
    path = kind.candidates(options)
    if skip_single and len(path) == 1:
        for argument, value in (("tuning", tuning), ("folds", folds)):
            if value is not None:
                raise ValueError(
                    f"{argument}: expected no value, as there is nothing to choose, got {value}"
                )
        return TuningResult(path[0], None, None)
    name = next((k for k, v in path[0].items() if any(one[k] != v for one in path)), "")
    method = check_choice("tuning", kind.default_tuning if tuning is None else tuning, TUNINGS)
    if method == "leave-one-out" and kind.leave_one_out is None:
        raise ValueError(
            "tuning: expected folds or part, got leave-one-out, which only the ridge probe has"
        )
    # leave-one-out would leave the rest of a row's group in the training rows
    folds_requested = folds is not None and tuning is None
    if method == "leave-one-out" and (units is not None or by != "error" or folds_requested):
        method = "folds"
    independent = len(y) if units is None else len(np.unique(units))
    if folds is not None:
        if method != "folds" or others is not None:
            raise ValueError("folds: expected tuning='folds', got another tuning")
        if not 2 <= check_int("folds", folds, None) <= independent:
            what = "training rows" if units is None else "groups of training rows"
            raise ValueError(f"folds: expected 2 .. {independent} ({what}), got {folds}")
    if others is not None:
        steps = _evaluate_on_others(kind, x, y, path, others, seed, device)
        description = f"{len(others[1])} other training rows (published few-shot protocol)"
        return _drop_evaluations(_choose(path, name, steps, by, description, progress))
    if (np.unique(y, return_counts=True)[1] >= 2).sum() < 2:
        one = path[0] if len(path) == 1 else {**path[0], **kind.fallback_options}
        return TuningResult(one, None, None)
    if independent < 2:
        raise ValueError("train: expected at least two groups, got one: no rows can be held out")
    if method == "leave-one-out":
        assert kind.leave_one_out is not None
        wrong_by_candidate = kind.leave_one_out(x, y, path)
        if on_fit is not None:
            for [fitted] in kind.fit_path(FitRequest.of_all_rows(x, y, path, seed, device)):
                on_fit(fitted)
        steps = (Evaluation(unseen, None) for _, unseen in wrong_by_candidate)
        return _choose(path, name, steps, by, "leave-one-out on train", progress, exhaustive=True)
    if method == "part":
        held = split.assign_folds(y, min(5, independent), seed, units) == 0
        fits = kind.fit_path(FitRequest(x, y, [~held], path, seed, device))
        steps = (evaluate(one[0], x[held], y[held]) for one in fits)
        description = "a stratified fifth of train, held out"
        return _drop_evaluations(_choose(path, name, steps, by, description, progress))
    count = default_folds(len(y), units) if folds is None else folds
    steps = _evaluate_on_folds(kind, x, y, path, count, units, seed, device, on_fit)
    whole = " (groups whole)" if units is not None else ""
    description = f"{count}-fold cross-validation of train{whole}"
    return _choose(path, name, steps, by, description, progress)


def _evaluate_on_others(
    kind: ProbeKind,
    x: Features,
    y: Labels,
    path: list[Options],
    others: tuple[Features, Labels],
    seed: int,
    device: str,
) -> Iterator[Evaluation]:
    for one in kind.fit_path(FitRequest.of_all_rows(x, y, path, seed, device)):
        yield evaluate(one[0], *others)


def _evaluate_on_folds(
    kind: ProbeKind,
    x: Features,
    y: Labels,
    path: list[Options],
    count: int,
    units: NDArray[np.int64] | None,
    seed: int,
    device: str,
    on_fit: FitCallback | None,
) -> Iterator[Evaluation]:
    """For each candidate every row evaluated by the fit of the folds that it is not in."""
    fold = split.assign_folds(y, count, seed, units)
    parts = [np.flatnonzero(fold == k) for k in range(count)]
    masks = [fold != k for k in range(count)]
    if on_fit is not None:
        masks.append(np.ones(len(y), bool))
    for fits in kind.fit_path(FitRequest(x, y, masks, path, seed, device)):
        if on_fit is not None:
            on_fit(fits.pop())
        wrong, top5 = np.empty(len(y), bool), np.empty(len(y), bool)
        loss = np.empty(len(y)) if fits[0].probabilistic else None
        for part, fitted in zip(parts, fits, strict=True):
            evaluation = evaluate(fitted, x[part], y[part])
            wrong[part], top5[part] = evaluation.wrong, evaluation.top5
            if loss is not None and evaluation.loss is not None:
                loss[part] = evaluation.loss
        yield Evaluation(wrong, loss, top5)


def _choose(
    path: list[Options],
    name: str,
    steps: Iterator[Evaluation],
    by: str,
    method: str,
    progress: ProgressCallback | None,
    *,
    exhaustive: bool = False,
) -> TuningResult:
    """The best of the path, tried as a whole where `exhaustive`, else until it rises for good."""
    values: list[float] = []
    evaluations: list[Evaluation] = []
    for k, evaluation in enumerate(steps):
        values.append(mean_risk(evaluation, by))
        evaluations.append(evaluation)
        if progress is not None:
            progress(k + 1, len(path))
        # the weakest penalties take most of the time
        if not exhaustive and _rises(values, evaluations, by):
            break
    index = int(np.argmin(values))
    if len(path) == 1:
        return TuningResult(path[0], None, None, tuple(evaluations))
    curve = {name: [float(one[name]) for one in path[: len(values)]], by: values}
    return TuningResult(path[index], curve, method, tuple(evaluations), index)


# standard errors; with 300 rows rises of one or two rows are common before the minimum
_NOISE = 2.0


def _rises(values: list[float], evaluations: list[Evaluation], by: str) -> bool:
    """Whether the last two candidates were worse, and the last is worse than the best beyond noise.

    The standard error is that of the mean of the differences where the truth is none.
    """
    if len(values) < 3 or not values[-1] > values[-2] > values[-3]:
        return False
    best = evaluations[int(np.argmin(values))]
    difference = row_risks(evaluations[-1], by) - row_risks(best, by)
    return bool(difference.sum() > _NOISE * np.sqrt((difference**2).sum()))


def _drop_evaluations(tuned: TuningResult) -> TuningResult:
    """The choice without evaluations, where they do not cover all training rows."""
    return TuningResult(tuned.options, tuned.curve, tuned.method)


def mean_risk(evaluation: Evaluation, by: str) -> float:
    """The mean risk by "error" or "log_loss" (nats).

    Raises:
        ValueError: for the log-loss of a probe that gives no probabilities.
    """
    return float(row_risks(evaluation, by).mean())


def row_risks(evaluation: Evaluation, by: str) -> NDArray[np.float64]:
    """float64 [n]: 1 for wrong and 0 for right, or the log-losses."""
    if by == "error":
        return evaluation.wrong.astype(np.float64)
    if evaluation.loss is None:
        raise ValueError(
            "risk: expected error, got log_loss: it needs probabilities (logistic, mlp)"
        )
    return evaluation.loss
