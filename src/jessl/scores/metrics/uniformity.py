"""Uniformity: how evenly unit rows cover the sphere (Wang and Isola, ICML 2020)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._rows import unit_rows

# exp(-4 t) and sums of it stay far above the smallest float64
_LARGEST_T = 100.0


def compute_uniformity(
    z: NDArray[np.floating], block: NDArray[np.int64] | None, *, t: float = 2.0, chunk: int = 2048
) -> RowScoreResult:
    """log of the mean over pairs of rows of exp(-t |x - y|^2), unit rows.

    Wang and Isola, arXiv 2005.10242, section 4.1.2, with t = 2 as in their code. Rows of zeros
    stay zeros. Here only pairs within a run of `chunk` consecutive rows (a random sample, as the
    rows' order is random) are used; all pairs where n <= chunk, as published.

    From -4 t (two opposite rows) to 0 (all rows equal); for rows spread evenly over the sphere
    -2 t + log 0F1(d/2, t^2) (t = 2: -1.58 at d = 2, -3.75 at 32, -3.996 at 2048).
    Lower is better. Time: n * chunk * (d + 1 exponential), n = 25,600 and d = 2048 in about 6 s
    on two cores; memory 24 chunk (chunk + d) bytes.

    Limits: it measures only spread, so noise unrelated to the images has the best value, and well
    separated classes have a worse one. It ignores norms.

    Args:
        z: [n, d].
        block: [n], or None. `deleted` leaves out the pairs with a row of the block; the chunks
            stay unchanged, so for n <= chunk it is exactly the score of the other rows.
        t: width of the kernel, above 0 and at most 100.
        chunk: rows among which pairs are formed, at least 2.

    Raises:
        ValueError: for t or chunk out of range.
    """
    if not 0 < t <= _LARGEST_T:
        raise ValueError(f"t: expected a number above 0 and at most {_LARGEST_T:g}, got {t}")
    if chunk < 2:
        raise ValueError(f"chunk: expected at least 2 rows, got {chunk}")
    n = len(z)
    which = np.zeros(n, np.int64) if block is None else np.unique(block, return_inverse=True)[1]
    blocks = int(which.max()) + 1
    sums, pairs = np.zeros((blocks, blocks)), np.zeros((blocks, blocks))
    zeros = 0
    for start in range(0, n, chunk):
        x = unit_rows(z[start : start + chunk])
        squares = (x * x).sum(axis=1)
        zeros += int((squares < 0.5).sum())
        kernel = squares[:, None] + squares - 2 * (x @ x.T)
        np.exp(np.multiply(kernel, -t, out=kernel), out=kernel)
        np.fill_diagonal(kernel, 0.0)
        member = (which[start : start + chunk, None] == np.arange(blocks)).astype(np.float64)
        sums += member.T @ kernel @ member
        count = member.sum(axis=0)
        pairs += np.outer(count, count) - np.diag(count)
    warnings = []
    if zeros:
        warnings.append(f"{zeros} of {n} rows are zero: they stay at the origin")
    value = _log_mean(sums, pairs)
    if math.isnan(value):
        return RowScoreResult(
            value=value, deleted=None, warnings=("a single row has no pair: not defined",)
        )
    if value > -1e-9:
        warnings.append("all rows point in the same direction: the features are collapsed")
    deleted = None
    if block is not None:
        others = [np.flatnonzero(np.arange(blocks) != b) for b in range(blocks)]
        left = [_log_mean(sums[np.ix_(o, o)], pairs[np.ix_(o, o)]) for o in others]
        if np.isfinite(left).all():
            deleted = np.array(left)
        else:
            warnings.append("without one of the blocks no pair is left: there is no spread")
    return RowScoreResult(value=value, deleted=deleted, warnings=tuple(warnings))


def _log_mean(sums: NDArray[np.float64], pairs: NDArray[np.float64]) -> float:
    total = float(pairs.sum())
    return math.log(float(sums.sum()) / total) if total > 0 else math.nan


SCORE = RowScore(
    compute=compute_uniformity,
    higher_is_better=False,
    options={"t": 2.0, "chunk": 2048},
    source="Wang and Isola 2020, arXiv 2005.10242",
)
