"""IdEst: intrinsic dimension from the growth of minimum spanning trees (arXiv 2606.03338)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._rows import centred_rows

# squared distances below this share of the squared norms lose digits in BLAS and are recomputed
_CLOSE = 1e-6
_CHUNK = 2**21
_MOST_SIZES = 1000


def compute_idest(
    z: NDArray[np.floating], block: NDArray[np.int64] | None, *, sizes: int = 10
) -> RowScoreResult:
    """1 / (1 - slope), the slope of log L(m) on log m: L(m) the length of a minimum
    spanning tree of m rows.

    The length of the minimum spanning tree of m points of a d-dimensional manifold grows as
    m^((d - 1) / d) (Costa and Hero 2006). Mordacq, Kalogeiton and Oudot, ICML 2026, arXiv
    2606.03338, algorithm 1: Euclidean trees of subsets of m = n_min, n_min + step, ... rows, and
    least squares. The paper does not state n_min and step, nor whether a size is drawn more than
    once. Here m = n / sizes, 2 n / sizes, ..., n (rounded up, at least 2); L(m) is the mean over
    all consecutive runs of m rows, which are random samples because the order of the rows is
    random. (A single run per size costs 1 / 1.4 as much and spreads 2 to 7 times wider.) The paper
    uses up to 50,000 rows, jessl the first 4096.

    1 and more (below 1 by chance); lower is better. Rotating or scaling the features and adding a
    constant row change nothing; another order of the rows is another draw (n = 4096, a uniform
    cube of 10 dimensions: sd .11, which the block jackknife puts up to 1.6 times too large).
    Time: a product n^2 d and, for all deletions of B blocks, about (B + 1) sizes n^2 / 2 steps
    (n = 4096, d = 2048, B = 20: 4 s on two cores); memory 8 n^2 + 16 n d bytes.

    Limits: features that collapsed to a line have the best value, whatever was lost. It is too low
    in many dimensions (cubes, n = 4096: 8.5 for 10, 15.5 for 20, 31 for 50), and not defined for
    few rows of many (40 normal rows of 300 features), whose distances are all alike. The authors
    report that it is uninformative in about the first ten epochs.

    Args:
        z: [n, d].
        block: [n], or None; `deleted` is exactly the score of the other rows in their order.
        sizes: subsets, 2 to 1000.

    Raises:
        ValueError: for `sizes` out of range.
    """
    if not 2 <= sizes <= _MOST_SIZES:
        raise ValueError(f"sizes: expected 2 .. {_MOST_SIZES} subsets, got {sizes}")
    rows = centred_rows(z) if len(z) > 2 else None
    if rows is None:
        few = "needs at least 3 rows" if len(z) < 3 else "the features are constant"
        return RowScoreResult(value=math.nan, deleted=None, warnings=(f"{few}: it is not defined",))
    distance = _distances(rows)
    value = _dimension(distance, np.arange(len(rows)), sizes)
    warnings = []
    if math.isnan(value):
        why = "a subset has a tree of length 0 or trees grow with the rows: it is not defined"
        return RowScoreResult(value=value, deleted=None, warnings=(why,))
    if value < 1:
        warnings.append("below 1: trees of more rows are not longer, as with many duplicates")
    deleted = None
    if block is not None:
        names = np.unique(block)
        left = [_dimension(distance, np.flatnonzero(block != b), sizes) for b in names]
        if np.isfinite(left).all():
            deleted = np.array(left)
        else:
            warnings.append("without one of the blocks it is not defined: there is no spread")
    return RowScoreResult(value=value, deleted=deleted, warnings=tuple(warnings))


def _dimension(distance: NDArray[np.float64], subset: NDArray[np.int64], sizes: int) -> float:
    """The dimension of the rows `subset` (ascending); NaN where it is not defined."""
    steps = np.arange(1, sizes + 1)
    counts = np.unique(-(-steps * len(subset) // sizes))
    counts = counts[counts >= 2]
    if len(counts) < 2:
        return math.nan
    lengths = np.array([_mean_tree_length(distance, subset, int(m)) for m in counts])
    if lengths.min() == 0:
        return math.nan
    x = np.log(counts) - np.log(counts).mean()
    slope = float(x @ np.log(lengths)) / float(x @ x)
    return 1 / (1 - slope) if slope < 1 else math.nan


def _mean_tree_length(distance: NDArray[np.float64], subset: NDArray[np.int64], m: int) -> float:
    runs = len(subset) // m
    return sum(_tree_length(distance, subset[i * m : (i + 1) * m]) for i in range(runs)) / runs


def _tree_length(distance: NDArray[np.float64], subset: NDArray[np.int64]) -> float:
    """Length of the minimum spanning tree of the rows `subset` (ascending), by Prim's method."""
    low, high = int(subset[0]), int(subset[-1]) + 1
    within = distance[low:high, low:high]
    closed = np.full(high - low, np.inf)  # inf: excluded, or already in the tree
    closed[subset - low] = 0.0
    reach, at, total = np.full(high - low, np.inf), 0, 0.0
    free = np.empty(high - low)
    for _ in range(len(subset) - 1):
        closed[at] = np.inf
        np.minimum(reach, within[at], out=reach)
        np.add(reach, closed, out=free)
        at = int(free.argmin())
        total += float(free[at])
    return total


def _distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """All Euclidean distances [n, n] of rows [n, d]; those of close rows from their differences."""
    squares = (rows * rows).sum(axis=1)
    distance = rows @ rows.T
    distance *= -2
    distance += squares
    distance += squares[:, None]
    step = max(1, _CHUNK // rows.shape[1])
    for row in range(len(rows) - 1):
        mine = distance[row, row + 1 :]
        close = np.flatnonzero(mine < _CLOSE * (squares[row] + squares[row + 1 :]))
        for start in range(0, len(close), step):
            j = close[start : start + step]
            difference = rows[row] - rows[row + 1 + j]
            mine[j] = distance[row + 1 + j, row] = np.einsum("nd,nd->n", difference, difference)
    np.fill_diagonal(distance, 0.0)
    return np.sqrt(np.maximum(distance, 0.0, out=distance), out=distance)


SCORE = RowScore(
    compute=compute_idest,
    most_rows=4096,
    higher_is_better=False,
    options={"sizes": 10},
    source="Mordacq et al. 2026, arXiv 2606.03338",
)
