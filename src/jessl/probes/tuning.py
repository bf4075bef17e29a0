"""How hyperparameters are chosen from training rows alone, and what that shows of unseen rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice, check_int
from jessl.probes import split
from jessl.probes.base import Evaluation, Fitted, Kind, Labels, Options, evaluate

FOLDS = 5
# of few rows a fifth is missed: with ten folds the fits are nearer to the fit of all
MANY_FOLDS, FEW_ROWS = 10, 5000
TUNINGS = ("folds", "leave-one-out", "part")
Watch = Callable[[Fitted], None]
Curve = dict[str, list[float]]


@dataclass(frozen=True)
class Tuned:
    """Chosen hyperparameters.

    Attributes:
        options: all options of the kind.
        curve: {hyperparameter: [...], criterion: [...]} in the order tried; None where nothing
            was to choose.
        how: what they were chosen by, in words; None where nothing was to choose.
        tried: for each candidate tried every training row judged by a fit that lacks it; empty
            where the choice did not need that.
        at: which of them was chosen.
    """

    options: Options
    curve: Curve | None
    how: str | None
    tried: tuple[Evaluation, ...] = ()
    at: int = 0

    @property
    def held_out(self) -> Evaluation | None:
        """What fits of the chosen options say of rows that they lack."""
        return self.tried[self.at] if self.tried else None


def default_folds(n: int, units: NDArray[np.int64] | None = None) -> int:
    """10 up to 5,000 rows, else 5; never more than rows or groups of them."""
    most = n if units is None else len(np.unique(units))
    return min(most, MANY_FOLDS if n <= FEW_ROWS else FOLDS)


def settle(kind: Kind, x: NDArray[Any], y: Labels, given: Options, **asked: Any) -> Tuned:
    """`tune` where there is something to choose; else the only candidate, without a fit.

    Raises:
        ValueError: as `tune`, and for `tuning` or `folds` where nothing is to choose.
    """
    path = kind.candidates(given)
    if len(path) > 1:
        return tune(kind, x, y, given, **asked)
    for name in ("tuning", "folds"):
        if asked.get(name) is not None:
            raise ValueError(f"{name}: nothing is to choose, so there is nothing to choose it by")
    return Tuned(path[0], None, None)


def tune(
    kind: Kind,
    x: NDArray[Any],
    y: Labels,
    given: Options,
    *,
    tuning: str | None = None,
    folds: int | None = None,
    units: NDArray[np.int64] | None = None,
    others: tuple[NDArray[Any], Labels] | None = None,
    by: str = "error",
    seed: int = 0,
    device: str = "cpu",
    progress: ProgressCallback | None = None,
    watch: Watch | None = None,
) -> Tuned:
    """Choose among the candidates of a kind the one with the least error on rows not fitted on.

    The path of candidates runs from strong to weak regularisation and ends after two rises in a
    row. Equal errors: the strongest.

    Args:
        kind: of probe.
        x, y: training rows [n, d] and labels [n].
        given: options that the user set.
        tuning: "folds": cross-validation; "leave-one-out", for kinds that have it in closed form;
            "part": a stratified fifth is held out; None: as is usual for the kind.
        folds: how many; None: 10 up to 5,000 rows, else 5.
        units: [n], rows that share one are never on both sides of a split.
        others: further labelled rows to choose by (the published few-shot protocol).
        by: "error" or "log_loss".
        seed: of splits and fits.
        device: of the fits.
        progress: called with (candidates done, of how many).
        watch: called with the fit of all rows for each candidate tried, in order; with
            cross-validation and leave-one-out only.

    Raises:
        ValueError: for an unknown tuning, one that the kind lacks, values that are not allowed.
    """
    path = kind.candidates(given)
    name = next((k for k, v in path[0].items() if any(one[k] != v for one in path)), "")
    how = check_choice("tuning", kind.tuning if tuning is None else tuning, TUNINGS)
    if how == "leave-one-out" and kind.leave_one_out is None:
        raise ValueError("tuning: leave-one-out has a closed form for the ridge probe alone")
    # leave-one-out would leave a row's group on the other side
    asked_for_folds = folds is not None and tuning is None
    if how == "leave-one-out" and (units is not None or by != "error" or asked_for_folds):
        how = "folds"
    apart = len(y) if units is None else len(np.unique(units))
    if folds is not None:
        if how != "folds" or others is not None:
            raise ValueError("folds: belongs to cross-validation (tuning='folds'), not to this")
        if not 2 <= check_int("folds", folds, None) <= apart:
            what = "training rows" if units is None else "groups of training rows"
            raise ValueError(f"folds: needs 2 .. {apart} ({what}), got {folds}")
    if others is not None:
        steps = _on_others(kind, x, y, path, others, seed, device)
        described = f"{len(others[1])} other training rows (published few-shot protocol)"
        return _without_rows(_chosen(path, name, steps, by, described, progress))
    if (np.unique(y, return_counts=True)[1] >= 2).sum() < 2:
        one = path[0] if len(path) == 1 else {**path[0], **kind.untuned}
        return Tuned(one, None, None)
    if apart < 2:
        raise ValueError("train: all its labelled rows are one group: none can be held out")
    if how == "leave-one-out":
        assert kind.leave_one_out is not None
        found = kind.leave_one_out(x, y, path)
        if watch is not None:
            for [fitted] in kind.fits(x, y, [np.ones(len(y), bool)], path, seed, device):
                watch(fitted)
        steps = (Evaluation(unseen, None) for _, unseen in found)
        return _chosen(path, name, steps, by, "leave-one-out on train", progress, patient=True)
    if how == "part":
        held = split.folds(y, min(5, apart), seed, units) == 0
        fits = kind.fits(x, y, [~held], path, seed, device)
        steps = (evaluate(one[0], x[held], y[held]) for one in fits)
        described = "a stratified fifth of train, held out"
        return _without_rows(_chosen(path, name, steps, by, described, progress))
    count = default_folds(len(y), units) if folds is None else folds
    steps = _on_folds(kind, x, y, path, count, units, seed, device, watch)
    kept_whole = " (groups whole)" if units is not None else ""
    described = f"{count}-fold cross-validation of train{kept_whole}"
    return _chosen(path, name, steps, by, described, progress)


def _on_others(
    kind: Kind,
    x: NDArray[Any],
    y: Labels,
    path: list[Options],
    others: tuple[NDArray[Any], Labels],
    seed: int,
    device: str,
) -> Iterator[Evaluation]:
    for one in kind.fits(x, y, [np.ones(len(y), bool)], path, seed, device):
        yield evaluate(one[0], *others)


def _on_folds(
    kind: Kind,
    x: NDArray[Any],
    y: Labels,
    path: list[Options],
    count: int,
    units: NDArray[np.int64] | None,
    seed: int,
    device: str,
    watch: Watch | None,
) -> Iterator[Evaluation]:
    """For each candidate every row judged by the fit of the folds that it is not in."""
    fold = split.folds(y, count, seed, units)
    parts = [np.flatnonzero(fold == k) for k in range(count)]
    masks = [fold != k for k in range(count)]
    if watch is not None:
        masks.append(np.ones(len(y), bool))
    for fits in kind.fits(x, y, masks, path, seed, device):
        if watch is not None:
            watch(fits.pop())
        wrong = np.empty(len(y), bool)
        loss = np.empty(len(y)) if fits[0].probabilistic else None
        for part, fitted in zip(parts, fits, strict=True):
            said = evaluate(fitted, x[part], y[part])
            wrong[part] = said.wrong
            if loss is not None and said.loss is not None:
                loss[part] = said.loss
        yield Evaluation(wrong, loss)


def _chosen(
    path: list[Options],
    name: str,
    steps: Iterator[Evaluation],
    by: str,
    how: str,
    progress: ProgressCallback | None,
    *,
    patient: bool = False,
) -> Tuned:
    """The best of the path; the whole path where `patient`, else until two rises in a row."""
    values: list[float] = []
    tried: list[Evaluation] = []
    for k, said in enumerate(steps):
        values.append(risk(said, by))
        tried.append(said)
        if progress is not None:
            progress(k + 1, len(path))
        # the weakest penalties take most of the time and were never best after two rises
        if not patient and len(values) > 2 and values[-1] > values[-2] > values[-3]:
            break
    at = int(np.argmin(values))
    if len(path) == 1:
        return Tuned(path[0], None, None, tuple(tried))
    curve = {name: [float(one[name]) for one in path[: len(values)]], by: values}
    return Tuned(path[at], curve, how, tuple(tried), at)


def _without_rows(tuned: Tuned) -> Tuned:
    """The choice, without what it says of rows that are not all of train."""
    return Tuned(tuned.options, tuned.curve, tuned.how)


def risk(said: Evaluation, by: str) -> float:
    """The mean of what `by` names: "error" or "log_loss" (nats).

    Raises:
        ValueError: for the log-loss of a probe that gives no probabilities.
    """
    return float(values_of(said, by).mean())


def values_of(said: Evaluation, by: str) -> NDArray[np.float64]:
    """float64 [n]: 1 wrong and 0 right, or the log-losses."""
    if by == "error":
        return said.wrong.astype(np.float64)
    if said.loss is None:
        raise ValueError("risk: log_loss needs a probe that gives probabilities (logistic, mlp)")
    return said.loss
