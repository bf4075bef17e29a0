"""ProbCover (Yehuda et al., NeurIPS 2022, arXiv 2205.11320): the most of the pool within a radius
of a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.curation.clusters import assign, centres_of
from jessl.curation.picking.base import Pool, distance_to

# rows whose coverage is counted; more take n^2 / 8 bytes
SAMPLED_ROWS = 20_000
PURITY = 0.95
_LEAST_CLASSES, _MOST_CLASSES = 2, 100
_ROWS = 512


def choose(pool: Pool, budget: int, seed: int) -> NDArray[np.int64]:
    """Greedily the row that has the most uncovered rows within the radius: int64 [budget].

    The radius is the largest at which 95 % of the rows have only rows of their own cluster within
    it, as published; clusters by k-means, as many as classes, or where they are not known as
    labels in the end, at most 100. Of more than 20,000 rows a random sample stands for the pool,
    and the rows are chosen from it. When everything is covered, the farthest rows follow.
    """
    sample = pool.sampled(max(SAMPLED_ROWS, 2 * budget), seed)
    if pool.allowed[sample].sum() < budget:
        sample = np.arange(len(pool))
    rows, allowed = pool.rows[sample], pool.allowed[sample]
    is_labelled = np.isin(sample, pool.labelled)
    total = len(pool.labelled) + budget
    classes = (
        pool.classes if pool.classes > 1 else int(np.clip(total, _LEAST_CLASSES, _MOST_CLASSES))
    )
    cluster = assign(rows, centres_of(rows, classes, seed))
    ball = _balls(rows, _pure_radius(rows, cluster))
    gain = np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), _ROWS):
        gain[start : start + _ROWS] = _bits(ball[start : start + _ROWS], len(rows)).sum(axis=1)
    uncovered = np.ones(len(rows), bool)
    for row in np.flatnonzero(is_labelled).tolist():
        _cover(ball, row, uncovered, gain)
    open_ = allowed.copy()
    chosen: list[int] = []
    while len(chosen) < budget:
        row = int(np.where(open_, gain, -1).argmax())
        if gain[row] == 0:
            break
        chosen.append(row)
        open_[row] = False
        _cover(ball, row, uncovered, gain)
    nearest, _ = distance_to(rows, np.r_[np.flatnonzero(is_labelled), chosen].astype(np.int64))
    while len(chosen) < budget:
        row = int(np.where(open_, nearest, -np.inf).argmax())
        chosen.append(row)
        open_[row] = False
        nearest = np.minimum(nearest, 1 - rows @ rows[row])
    return sample[chosen]


def _pure_radius(rows: NDArray[np.float32], cluster: NDArray[np.int64]) -> float:
    """The cosine distance below which 95 % of the rows have no row of another cluster."""
    nearest = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        cosine = rows[start : start + _ROWS] @ rows.T
        cosine[cluster[start : start + _ROWS, None] == cluster] = -1
        nearest[start : start + _ROWS] = 1 - cosine.max(axis=1)
    return float(np.quantile(nearest, 1 - PURITY))


def _balls(rows: NDArray[np.float32], radius: float) -> NDArray[np.uint8]:
    """Which rows are within the radius of each, itself included: bits [n, n / 8]."""
    ball = np.empty((len(rows), -(-len(rows) // 8)), np.uint8)
    for start in range(0, len(rows), _ROWS):
        inside = rows[start : start + _ROWS] @ rows.T > 1 - radius
        own = np.arange(len(inside))
        inside[own, start + own] = True
        ball[start : start + _ROWS] = np.packbits(inside, axis=1)
    return ball


def _bits(packed: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return np.unpackbits(packed, axis=1, count=count)


def _cover(
    ball: NDArray[np.uint8],
    row: int,
    uncovered: NDArray[np.bool_],
    gain: NDArray[np.int64],
) -> None:
    """Mark the ball of a row as covered, and take it from the gains of all rows."""
    new = np.flatnonzero(_bits(ball[row : row + 1], len(gain))[0].astype(bool) & uncovered)
    uncovered[new] = False
    for start in range(0, len(new), _ROWS):
        gain -= _bits(ball[new[start : start + _ROWS]], len(gain)).sum(axis=0, dtype=np.int64)
