"""Normalised and centred rows, and their nearest neighbours, for the scores of this folder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.gram import CONSTANT_SHARE

# candidates by BLAS beyond those wanted, so that its rounding does not exchange neighbours
_SPARE_CANDIDATES = 6
_CHUNK = 2**21


def unit_rows(z: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows (the last axis) divided by their norms, float64; rows of zeros stay zeros."""
    x = np.asarray(z, np.float64)
    # divide by the largest entry first: squares of extreme values leave float64's range
    top = np.abs(x).max(axis=-1, keepdims=True)
    x = x / np.where(top > 0, top, 1.0)
    norm = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    return x / np.where(norm > 0, norm, 1.0)


def centred_rows(z: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """Rows minus their mean, over their largest entry, float64; None where all are equal."""
    rows = np.array(z, np.float64)
    top = float(np.abs(rows).max())
    if top == 0:
        return None
    rows /= top
    raw = float((rows * rows).sum())
    rows -= rows.mean(axis=0)
    return rows if float((rows * rows).sum()) > CONSTANT_SHARE * raw else None


def nearest_neighbours(
    rows: NDArray[np.float64], which: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances [m, k] of the rows `which` [m] to their k nearest others, and the indices of those.

    Smallest first; k is at most n - 1. Candidates come from squared distances by BLAS, which lose
    digits between close rows; their distances are then computed from differences. Neighbours whose
    distances differ by less than 1e-15 of the squared norms may be exchanged.
    """
    n, d = rows.shape
    k = min(k, n - 1)
    wide = min(k + _SPARE_CANDIDATES, n - 1)
    squares = (rows * rows).sum(axis=1)
    distance, index = np.empty((len(which), k)), np.empty((len(which), k), np.int64)
    step = max(1, _CHUNK // max(n, d))
    for start in range(0, len(which), step):
        mine = which[start : start + step]
        rough = squares - 2 * (rows[mine] @ rows.T)
        rough[np.arange(len(mine)), mine] = np.inf
        near = np.argpartition(rough, wide - 1, axis=1)[:, :wide]
        exact = np.empty(near.shape)
        for j in range(wide):
            difference = rows[mine] - rows[near[:, j]]
            exact[:, j] = np.einsum("nd,nd->n", difference, difference)
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        index[start : start + step] = np.take_along_axis(near, order, axis=1)
        distance[start : start + step] = np.sqrt(np.take_along_axis(exact, order, axis=1))
    return distance, index
