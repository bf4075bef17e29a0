"""TwoNN: intrinsic dimension from each row's two nearest rows (Facco et al. 2017)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._rows import centred_rows, nearest_neighbours

# nearest rows stored for each row: leaving out one of 20 blocks removes more than eight of them
# with probability 2e-11; then the neighbours of the row are searched again
_NEIGHBOURS = 10
# smallest log mu: a dimension of a million has larger ones, rounding of float64 distances smaller
_TIES = 1e-7


def compute_twonn(
    z: NDArray[np.floating], block: NDArray[np.int64] | None, *, discard: float = 0.1
) -> RowScoreResult:
    """The slope through the origin of -log(1 - F(mu)) on log mu, mu = r2 / r1.

    r1 <= r2 are the distances of a row to its two nearest others and F = i / N for the i-th
    smallest of N ratios; the largest `discard` of them are left out of the fit. Facco, d'Errico,
    Rodriguez and Laio, Scientific Reports 7, 12140 (2017). Rows with a duplicate (r1 = 0) are left
    out and counted in a warning, as scikit-dimension does; DADApy keeps them by default,
    req-metrics removes the copies first: results differ by up to 20 % on music embeddings with
    1 % of duplicates.

    Above 0, without an upper bound. Rotating or scaling the features, adding a constant row and
    permuting the rows change nothing. `higher_is_better` is None because the sources disagree: a
    study of 260 vision models (arXiv 2608.23182) calls this dimension the most reliable of seven
    scores; for IdEst (arXiv 2606.03338) and Ansuini et al. (arXiv 1905.12784) lower is better; CLID
    (arXiv 2206.01251) adds it as expressiveness: higher is better.

    Time: n^2 (2 d + 20) operations in float64 (n = 10,000, d = 2048: 17 s on two cores, d = 128:
    3 s), 20 deletions included; memory 16 n d bytes and 100 MB. Only the first 10,000 rows
    are used. The block jackknife's sd is up to 1.9 times too large (2000 normal rows of 8
    features).

    Limits: it measures only the scale of nearest neighbours, so noise far below the size of the
    manifold counts as dimensions; and from about ten dimensions on it is too low (uniform
    cubes, n = 10,000: 8.6 for 10, 16 for 20, 33 for 50).

    Args:
        z: [n, d].
        block: [n], or None; `deleted` is exactly the score of the other rows.
        discard: from 0 (all but the largest ratio, whose F is 1) to below 1.

    Raises:
        ValueError: for `discard` out of range.
    """
    if not 0 <= discard < 1:
        raise ValueError(f"discard: expected a share from 0 to below 1, got {discard}")
    if len(z) < 3:
        why = f"{len(z)} rows have no two neighbours: the dimension is not defined"
        return RowScoreResult(value=math.nan, deleted=None, warnings=(why,))
    rows = centred_rows(z)
    if rows is None:
        why = "the features are constant: the dimension is not defined"
        return RowScoreResult(value=math.nan, deleted=None, warnings=(why,))
    distance, index = nearest_neighbours(rows, np.arange(len(rows)), _NEIGHBOURS)
    copies = int((distance[:, 0] == 0).sum())
    value = _fit_dimension(distance, discard)
    warnings = []
    if copies:
        warnings.append(f"{copies} of {len(z)} rows have a duplicate: they were left out")
    if math.isnan(value):
        warnings.append("too few different distances: the dimension is not defined")
        return RowScoreResult(value=value, deleted=None, warnings=tuple(warnings))
    deleted = None
    if block is not None:
        names = np.unique(block)
        left = [
            _fit_dimension(_neighbours_among(rows, block != b, distance, index), discard)
            for b in names
        ]
        if np.isfinite(left).all():
            deleted = np.array(left)
        else:
            warnings.append("without one of the blocks it is not defined: there is no spread")
    return RowScoreResult(value=value, deleted=deleted, warnings=tuple(warnings))


def _neighbours_among(
    rows: NDArray[np.float64],
    members: NDArray[np.bool_],
    distance: NDArray[np.float64],
    index: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The two nearest distances [m, 2] among the m rows `members`."""
    m = int(members.sum())
    if m < 3:
        return np.empty((0, 2))
    there = members[index[members]]
    first = np.argsort(~there, axis=1, kind="stable")[:, :2]
    two = np.take_along_axis(distance[members], first, axis=1)
    short = np.flatnonzero(there.sum(axis=1) < 2)
    if len(short):
        two[short] = nearest_neighbours(rows[members], short, 2)[0]
    return two


def _fit_dimension(distance: NDArray[np.float64], discard: float) -> float:
    """The dimension from distances [m, >= 2], smallest first; NaN where it is not defined."""
    distinct = distance[distance[:, 0] > 0]
    n = len(distinct)
    used = min(int(n * (1 - discard)), n - 1)
    if used < 2:
        return math.nan
    x = np.sort(np.log(distinct[:, 1] / distinct[:, 0]))[:used]
    if x[-1] < _TIES:
        return math.nan
    y = -np.log1p(-np.arange(1, used + 1) / n)
    return float(x @ y) / float(x @ x)


SCORE = RowScore(
    compute=compute_twonn,
    most_rows=10_000,
    higher_is_better=None,
    options={"discard": 0.1},
    source="Facco et al. 2017",
)
