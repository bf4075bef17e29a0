"""Every labelled row tested once, by a probe that was fitted and tuned without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.core.statistics import share_interval
from jessl.probes import split
from jessl.probes.base import Evaluation, Options, ProbeKind
from jessl.probes.labelled import LabelledRows
from jessl.probes.tuning import default_folds, tune

# the folds share their rows: around the true accuracy, that of held-out rows varies 1.2 to 1.35
# times as much as that of independent rows at 2 to 10 rows a class, hardly more at 50 (standard
# deviations over draws of the labelled rows; benchmarks/records, classify)
_EXCESS, _FEW_EACH = 0.8, 10


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """The evaluation of all rows by the probes of several folds.

    Attributes:
        evaluation: of every row, by the probe of the fold that left it out.
        classes: all labels, sorted.
        unseen: bool [n], rows of a class that no row of the other folds has; they count as errors.
        folds: how many; chosen: the options of each.
        converged: whether the fits of the chosen options did.
        train_rows: that a probe was fitted on, the mean over folds.
    """

    evaluation: Evaluation
    classes: NDArray[np.int64]
    unseen: NDArray[np.bool_]
    folds: int
    chosen: tuple[Options, ...]
    converged: bool
    train_rows: int


def cross_validate(
    kind: ProbeKind,
    rows: LabelledRows,
    options: Options,
    *,
    folds: int | None,
    seed: int,
    device: str,
    progress: ProgressCallback | None,
) -> CrossValidated:
    """The held-out predictions of every row, as the tuning makes them: one pass, each label used.

    The candidate of a fold is the one with the fewest errors on the rows of all other folds, so
    that no label chooses the probe that predicts it. (The fits of the other folds have seen the
    rows of the fold; that shows in the choice among a dozen penalties alone.) The same rows and
    seed give the same folds, so that two encoders are compared on equal terms.

    Args:
        folds: None: 10 up to 5,000 rows, else 5.

    Raises:
        ValueError: for fewer than two classes with two rows, and for a single group.
    """
    x, y, units = rows.x, rows.y, rows.units
    labels, sizes = np.unique(y, return_counts=True)
    if (sizes >= 2).sum() < 2:
        raise ValueError(
            f"{rows.argument}: expected two classes with at least two labelled images each, as "
            "there is no test set, got fewer; label more images, or name a test set"
        )
    if units is not None and len(np.unique(units)) < 2:
        raise ValueError(f"{rows.argument}: expected at least two groups to cross-validate, got 1")
    converged: list[bool] = []
    tuned = tune(
        kind,
        x,
        y,
        options,
        # without one row its class is rarer: leave-one-out without signal is below chance
        tuning="folds",
        folds=folds,
        units=units,
        seed=seed,
        device=device,
        progress=progress,
        on_fit=lambda fitted: converged.append(fitted.converged),
    )
    count = folds or default_folds(len(y), units)
    fold = split.assign_folds(y, count, seed, units)
    wrong = np.stack([one.wrong for one in tuned.evaluations])
    by_fold = np.stack([np.bincount(fold, one, count) for one in wrong.astype(np.float64)])
    # of equal candidates the first, which is the strongest
    best = (by_fold.sum(axis=1, keepdims=True) - by_fold).argmin(axis=0)
    own, all_rows = best[fold], np.arange(len(y))
    evaluations = tuned.evaluations
    losses = [one.loss for one in evaluations if one.loss is not None]
    top5 = [one.top5 for one in evaluations if one.top5 is not None]
    several = [len(np.unique(fold[y == label])) > 1 for label in labels]
    return CrossValidated(
        Evaluation(
            wrong[own, all_rows],
            np.stack(losses)[own, all_rows] if losses else None,
            np.stack(top5)[own, all_rows] if top5 else None,
        ),
        labels,
        ~np.isin(y, labels[np.array(several)]),
        count,
        tuple(kind.candidates(options)[k] for k in best.tolist()),
        all(converged[k] for k in np.unique(best).tolist()),
        round(len(y) * (count - 1) / count),
    )


def variance_factor(rows_per_class: float) -> float:
    """How much more the accuracy of pooled folds varies than that of as many independent rows."""
    return 1 + _EXCESS * min(1.0, (_FEW_EACH / max(rows_per_class, 1)) ** 0.5)


def rows_per_class(y: NDArray[np.int64]) -> float:
    """Rows of the median class."""
    return float(np.median(np.unique(y, return_counts=True)[1]))


def pooled_interval(error: float, independent: int, factor: float) -> tuple[float, float]:
    """95 % interval of the error of pooled folds: that of as many independent rows as it is worth.

    Args:
        error: share of the rows, 0..1.
        independent: rows, whole groups counted once.
        factor: of `variance_factor`.
    """
    n = independent / factor
    low, high = share_interval(error * n, n)
    return min(low, error), max(high, error)
