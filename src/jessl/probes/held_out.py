"""The cross-validated logistic probe: decisions about rows by fits that did not see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.probes.base import Features, FitRequest, Labels
from jessl.probes.kinds.logistic import KIND
from jessl.probes.linear import LinearProbe
from jessl.probes.split import assign_folds

MOST_FOLDS, FOLDS_OF_MANY, MANY_ROWS = 10, 5, 5000
# minus the log of the smallest probability that counts
_MOST_LOSS = 27.631021115928547
# a class of which a fit saw no row
NEVER = -1e30


@dataclass(frozen=True, eq=False)
class HeldOutDecisions:
    """A probe of all labelled rows, and what fits without a row decide about it.

    Attributes:
        probe: of all rows, with the chosen options.
        options: chosen by the log-loss of held-out rows.
        curve: the log-loss of each value of C that was tried; None where there was nothing to
            choose.
        folds: number of folds; 0: no row could be held out.
        decision: float64 [n, classes], logits of the row by the fit without its fold; `NEVER` for a
            class that this fit did not see.
        known: bool [n], whether the fit without the row saw its class.
        wrong: bool [n], whether the prediction is wrong, where C was chosen without the row's fold
            as well.
    """

    probe: LinearProbe
    options: Mapping[str, Any]
    curve: Mapping[str, list[float]] | None
    folds: int
    decision: NDArray[np.float64]
    known: NDArray[np.bool_]
    wrong: NDArray[np.bool_]


def folds_for(counts: NDArray[np.int64], units: NDArray[np.int64] | None) -> int:
    """As many folds as the median class has rows, 2 to 10, so that every fold has all classes.

    With more folds than rows of a class the fits would see fewer rows of the held-out row's class
    than of the others, and the accuracy would come out too low. 5 folds above 5,000 rows.
    """
    most = FOLDS_OF_MANY if counts.sum() > MANY_ROWS else MOST_FOLDS
    folds = int(np.clip(np.median(counts[counts > 1]), 2, most))
    return folds if units is None else min(folds, len(np.unique(units)))


def cross_validate(
    x: Features,
    y: Labels,
    *,
    C: float | None = None,
    folds: int | None = None,
    units: NDArray[np.int64] | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> HeldOutDecisions:
    """Choose C by the log-loss of held-out rows, and fit all rows with it.

    The log-loss chooses better than the error where rows are few: it has no ties, and its choices
    need hardly any calibration (benchmarks/records, classify).

    Args:
        x: [n, d] features, finite.
        y: [n] labels 0 .. classes - 1, each of them used.
        C: None: chosen along the path of the logistic probe.
        folds: None: `folds_for`.
        units: [n], rows with equal values are held out together.
        seed: of the folds.
        progress: called with (values of C tried, of how many).

    Example:
        held = cross_validate(z.features, z.labels)
        print((~held.wrong).mean())
    """
    n, counts = len(y), np.bincount(y)
    classes = len(counts)
    path = KIND.candidates({} if C is None else {"C": C})
    independent = n if units is None else len(np.unique(units))
    if (counts > 1).sum() < 2 or independent < 2:
        options = path[0] if len(path) == 1 else dict(KIND.fallback_options)
        [probe] = next(KIND.fit_path(FitRequest.of_all_rows(x, y, [options], seed, "cpu")))
        assert isinstance(probe, LinearProbe)
        nothing = np.full((n, classes), NEVER)
        return HeldOutDecisions(
            probe, options, None, 0, nothing, np.zeros(n, bool), np.ones(n, bool)
        )
    count = folds_for(counts, units) if folds is None else folds
    fold = assign_folds(y, count, seed, units)
    parts = [np.flatnonzero(fold == k) for k in range(count)]
    masks = [*(fold != k for k in range(count)), np.ones(n, bool)]
    row = np.arange(n)
    losses: list[NDArray[np.float64]] = []
    wrong: list[NDArray[np.bool_]] = []
    best: tuple[LinearProbe, NDArray[np.float64], NDArray[np.bool_]] | None = None
    values: list[float] = []
    for k, fits in enumerate(KIND.fit_path(FitRequest(x, y, masks, path, seed, "cpu"))):
        decision = np.full((n, classes), NEVER)
        for part, fit in zip(parts, fits[:-1], strict=True):
            decision[np.ix_(part, fit.classes)] = fit.decision_function(x[part])
        known = decision[row, y] > NEVER
        loss = np.minimum(-log_softmax(decision)[row, y], _MOST_LOSS)
        losses.append(loss)
        wrong.append(decision.argmax(axis=1) != y)
        values.append(float(loss[known].mean()) if known.any() else float(loss.mean()))
        if values[-1] == min(values):
            assert isinstance(fits[-1], LinearProbe)
            best = fits[-1], decision, known
        if progress is not None:
            progress(k + 1, len(path))
        # as in the tuning of probes: the weakest penalties take most of the time
        if len(values) > 2 and values[-1] > values[-2] > values[-3]:
            break
    assert best is not None
    probe, decision, known = best
    return HeldOutDecisions(
        probe,
        path[int(np.argmin(values))],
        None if len(path) == 1 else {"C": [o["C"] for o in path[: len(values)]], "loss": values},
        count,
        decision,
        known,
        _nested(np.array(losses), np.array(wrong), fold, count),
    )


def _nested(
    losses: NDArray[np.float64], wrong: NDArray[np.bool_], fold: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """Whether each row is predicted wrongly with the C that the rows of other folds choose.

    The error of the C that all rows choose would be too low: the rows have chosen it.
    """
    nested = np.empty(len(fold), bool)
    for k in range(count):
        inside = fold == k
        nested[inside] = wrong[int(losses[:, ~inside].mean(axis=1).argmin()), inside]
    return nested


def log_softmax(decision: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Log-probabilities [n, classes] of logits."""
    z = decision / temperature
    z = z - z.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return logs
