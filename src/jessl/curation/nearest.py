"""The nearest rows of every row, exactly or among the nearest cells, without an n x n matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.curation.clusters import assign, centres_of
from jessl.curation.space import Space, unit_rows

NEIGHBOURS = 20
# above this many rows neighbours are searched in the nearest cells only
EXACT_ROWS = 200_000
CELLS_SEARCHED = 16
_ROWS, _COLUMNS = 1024, 8192
_GATHERED = 2**24  # numbers of pairs of rows held at a time

_Index = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest other rows of every row, the nearest first.

    Attributes:
        index: int32 [n, k].
        distance: float32 [n, k], 1 - cosine in all features, 0 to 2.
        exact: whether all rows were searched.
    """

    index: NDArray[np.int32]
    distance: NDArray[np.float32]
    exact: bool


def nearest_rows(
    space: Space,
    count: int = NEIGHBOURS,
    *,
    seed: int = 0,
    progress: ProgressCallback = lambda _done, _all: None,
) -> Neighbours:
    """The `count` nearest rows of each, fewer where there are fewer rows.

    They are searched in the axes of the space; their distances are then computed in all features.
    Up to 200,000 rows all pairs are compared, 2 n^2 r operations. Above, k-means divides the rows
    into cells of about sqrt(n) rows, and each row is compared with those of the 16 cells whose
    centres are nearest to that of its own.

    Args:
        space: of n rows.
        count: neighbours of each.
        seed: of the cells.
        progress: called with (rows done, n).
    """
    n = len(space)
    count = min(count, n - 1)
    best = np.full((n, count), -2, np.float32)
    index = np.full((n, count), -1, np.int32)
    if exact := n <= EXACT_ROWS:
        _search_all(space.rows, best, index, progress)
    else:
        _search_cells(space.rows, best, index, seed, progress)
    return Neighbours(*_sorted_by_distance(space, index), exact)


def _search_all(
    rows: NDArray[np.float32],
    best: NDArray[np.float32],
    index: _Index,
    progress: ProgressCallback,
) -> None:
    n, keep = len(rows), _kernel()
    for start in range(0, n, _ROWS):
        part = slice(start, min(start + _ROWS, n))
        own = np.arange(part.start, part.stop)
        for first in range(0, n, _COLUMNS):
            others = np.arange(first, min(first + _COLUMNS, n))
            cosine = rows[part] @ rows[first : first + _COLUMNS].T
            keep(cosine, own, others, best[part], index[part])
        progress(part.stop, n)


def _search_cells(
    rows: NDArray[np.float32],
    best: NDArray[np.float32],
    index: _Index,
    seed: int,
    progress: ProgressCallback,
) -> None:
    n, keep = len(rows), _kernel()
    centres = centres_of(rows, int(np.sqrt(n)), seed, iterations=10, starts=1)
    cell = assign(rows, centres)
    order = np.argsort(cell, kind="stable")
    ends = np.searchsorted(cell[order], np.arange(len(centres) + 1))
    # cosines of unit rows: the nearest centre is the one of the largest product less its length
    near = np.argsort((centres**2).sum(axis=1) / 2 - centres @ centres.T, axis=1, kind="stable")[
        :, :CELLS_SEARCHED
    ]
    done = 0
    for c in range(len(centres)):
        mine = order[ends[c] : ends[c + 1]]
        for other in near[c].tolist():
            others = order[ends[other] : ends[other + 1]]
            for start in range(0, len(mine), _ROWS):
                own = mine[start : start + _ROWS]
                values, places = best[own], index[own]
                for first in range(0, len(others), _COLUMNS):
                    some = others[first : first + _COLUMNS]
                    keep(rows[own] @ rows[some].T, own, some, values, places)
                best[own], index[own] = values, places
        done += len(mine)
        progress(done, n)


def _kernel() -> Callable[..., None]:
    from jessl.curation._kernels import keep_largest  # compiles when it is first imported

    return keep_largest


def _sorted_by_distance(
    space: Space, index: _Index
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The candidates in the order of their distances in all features."""
    n, count = index.shape
    d = space.features.shape[1]
    distance = np.empty((n, count), np.float32)
    step = max(1, _GATHERED // (count * d))
    for start in range(0, n, step):
        part = slice(start, start + step)
        some = index[part]
        near = unit_rows(space.features[some.ravel()]).reshape(*some.shape, d)
        near -= unit_rows(space.features[part])[:, None]
        # of differences: 1 minus a cosine near 1 has few digits
        distance[part] = np.einsum("ijk,ijk->ij", near, near) / 2
    order = np.lexsort((index, distance), axis=1)
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(distance, order, axis=1)
