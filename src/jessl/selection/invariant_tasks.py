"""Random invariant tasks: labelings that peers make up and views keep, solved with few labels.

After the idealized representations of Dubois et al. 2022 (arXiv 2209.06235): an encoder is good for
every task that is invariant to the views. Tasks are drawn: k-means (2, 5, 10 or 20 classes) on
random projections of the canonical variates of runs of other settings, averaged over views. A task
is dropped where views disagree on its labels, or where the untrained net already solves it. Score:
mean over tasks of (accuracy - chance) / (1 - chance) of a ridge probe that is fitted on 20 labels a
class of one view and tested on another view of other images.

Known failures: tasks of peers are what peers have in common, shortcuts included; with few tasks
left the mean is noisy (its standard error is returned).

Cost: tasks x (k-means of [n, 8] + one ridge solution for each run).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.selection.peer_prediction import PeerRun, canonical_directions, check_peers

_CLASSES = (2, 5, 10, 20)
_VARIATES, _PROJECTED = 16, 8
_SHOTS = 20
# views have to agree on this share of the labels; beyond this the untrained net solves a task
_AGREEMENT, _SOLVED = 0.6, 0.8
_RIDGE = 1e-1


@dataclass(frozen=True)
class TaskScore:
    """The score of a run.

    Attributes:
        value: mean over tasks, 0 for chance, at most 1; NaN where no task is left.
        se: its standard error over tasks.
        tasks: how many were left for this run.
    """

    value: float
    se: float
    tasks: int


def invariant_tasks(
    runs: Sequence[PeerRun], controls: NDArray[np.floating], *, tasks: int = 200, seed: int = 0
) -> list[TaskScore]:
    """The score of each run on the tasks of runs of other settings.

    Example:
        scores = invariant_tasks(runs, controls=untrained_features)

    Args:
        runs: of at least four settings, with at least two views of each image.
        controls: [n, c], features of the untrained net.
        tasks: drawn in all; those of a run's own setting do not count for it.

    Raises:
        ValueError: as `peer_prediction`.
    """
    check_peers(runs, controls)
    rng = np.random.default_rng(seed)
    n = runs[0].views.shape[1]
    everything = np.ones(n, bool)
    directions = [canonical_directions(run.views, everything, _VARIATES) for run in runs]
    results: list[list[float]] = [[] for _ in runs]
    start = np.asarray(controls, np.float64)
    for k in range(tasks):
        author = int(rng.integers(len(runs)))
        classes = _CLASSES[k % len(_CLASSES)]
        projection = rng.standard_normal((directions[author].vectors.shape[1], _PROJECTED))
        points = [
            directions[author].variates(rows) @ projection
            for rows in (runs[author].views.mean(axis=0), *runs[author].views[:2])
        ]
        labels, agreement = _cluster(points, classes, rng)
        if agreement < _AGREEMENT:
            continue
        split = _draw_shots(labels, classes, rng)
        if split is None or _score(start, start, labels, classes, split) > _SOLVED:
            continue
        for own, run in zip(results, runs, strict=True):
            if run.setting != runs[author].setting:
                one, other = (np.asarray(run.views[v], np.float64) for v in (0, 1))
                own.append(_score(one, other, labels, classes, split))
    return [_summary(values) for values in results]


def _cluster(
    points: list[NDArray[np.float64]], classes: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], float]:
    """Clusters of the first points, and the share of images on which the two others agree."""
    from sklearn.cluster import KMeans

    if len(np.unique(points[0], axis=0)) < classes:  # nothing to divide
        return np.zeros(len(points[0]), np.int64), 0.0
    model = KMeans(classes, n_init=1, random_state=int(rng.integers(2**31))).fit(points[0])
    one, other = (model.predict(view) for view in points[1:])
    return model.labels_.astype(np.int64), float((one == other).mean())


def _draw_shots(
    labels: NDArray[np.int64], classes: int, rng: np.random.Generator
) -> NDArray[np.bool_] | None:
    """Images to fit on, at most 20 a class and half of them; None where a class is too small."""
    fit = np.zeros(len(labels), bool)
    for c in range(classes):
        members = rng.permutation(np.flatnonzero(labels == c))
        if len(members) < 4:
            return None
        fit[members[: min(_SHOTS, len(members) // 2)]] = True
    return fit


def _score(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: int,
    fit: NDArray[np.bool_],
) -> float:
    """(accuracy - chance) / (1 - chance) of a ridge probe; chance: the largest class."""
    from scipy.linalg import solve

    mean, spread = one[fit].mean(axis=0), one[fit].std(axis=0)
    spread = np.where(spread > 1e-9 * max(float(spread.max()), 1e-300), spread, np.inf)
    a, b = (one[fit] - mean) / spread, (other[~fit] - mean) / spread
    targets = np.eye(classes)[labels[fit]]
    level = _RIDGE * len(a)
    if len(a) < a.shape[1]:  # as many unknowns as labels
        dual = solve(a @ a.T + level * np.eye(len(a)), targets - targets.mean(0), assume_a="pos")
        scores = b @ (a.T @ dual)
    else:
        gram = a.T @ a + level * np.eye(a.shape[1])
        scores = b @ solve(gram, a.T @ (targets - targets.mean(0)), assume_a="pos")
    accuracy = float(((scores + targets.mean(0)).argmax(axis=1) == labels[~fit]).mean())
    chance = float(np.bincount(labels[~fit], minlength=classes).max() / (~fit).sum())
    return (accuracy - chance) / (1 - chance) if chance < 1 else 0.0


def _summary(values: list[float]) -> TaskScore:
    if not values:
        return TaskScore(math.nan, math.nan, 0)
    se = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return TaskScore(float(np.mean(values)), se, len(values))
