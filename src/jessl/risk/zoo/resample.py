"""Rank correlations with intervals from resampled rows, all resamples at once.

A resample is told by how often each row is drawn; then Kendall's tau-b and Spearman's rho of all of
them are matrix products over pairs of rows, equal to what scipy gives for each resampled table.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

DRAWS = 1000


def drawn(n: int, seed: int, *, groups: np.ndarray | None = None, draws: int = DRAWS) -> np.ndarray:
    """How often each of n rows is in each resample: float64 [draws, n].

    With `groups` (a label a row) whole groups are drawn: rows of one group are no separate
    evidence.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    kinds = int(labels.max()) + 1
    counts = rng.multinomial(kinds, np.full(kinds, 1 / kinds), size=draws)
    return counts[:, labels].astype(np.float64)


def kendall_of(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each resample: [draws]; NaN where one side is constant."""
    a, b = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.sqrt(_pairs(counts, a * a) * _pairs(counts, b * b))
        return np.asarray(_pairs(counts, a * b) / below)


def spearman_of(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman's rho of each resample: [draws]; NaN where one side is constant."""
    total = counts.sum(axis=1, keepdims=True)
    centred = []
    for values in (x, y):
        # mid-rank within the resample: rows below, and half of those that are equal
        less = (values[:, None] < values) + 0.5 * (values[:, None] == values)
        ranks = counts @ less
        centred.append(ranks - (counts * ranks).sum(axis=1, keepdims=True) / total)
    u, v = centred
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.sqrt((counts * u * u).sum(axis=1) * (counts * v * v).sum(axis=1))
        return np.asarray((counts * u * v).sum(axis=1) / below)


def interval(values: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 % quantiles of the finite ones; NaN where fewer than half are finite."""
    finite = values[np.isfinite(values)]
    if 2 * len(finite) < len(values) or not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(low), float(high)


def correlated(
    x: np.ndarray, y: np.ndarray, seed: int, *, groups: np.ndarray | None = None
) -> dict[str, float | int]:
    """Kendall's tau-b and Spearman's rho of the rows where both are known.

    Args:
        x: float64 [rows], NaN where not known.
        y: likewise.
        seed: of the resamples.
        groups: a label a row; adds an interval that draws whole groups.

    Returns:
        n, kendall, kendall_p, kendall_low, kendall_high, spearman and likewise; with groups also
        kendall_group_low and _high. Intervals are 95 % percentile intervals of 1000 resamples. NaN
        with fewer than four rows, or where one side is constant.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    found: dict[str, float | int] = {"n": len(x)}
    unclear = len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0
    counts = None if unclear else drawn(len(x), seed)
    for name, exact, resampled in (
        ("kendall", stats.kendalltau, kendall_of),
        ("spearman", stats.spearmanr, spearman_of),
    ):
        keys = (name, f"{name}_p", f"{name}_low", f"{name}_high")
        if counts is None:
            found.update(dict.fromkeys(keys, float("nan")))
            continue
        told = exact(x, y)
        told_all = (told.statistic, told.pvalue, *interval(resampled(x, y, counts)))
        found.update(zip(keys, map(float, told_all), strict=True))
    if groups is not None:
        ends = (float("nan"), float("nan"))
        if counts is not None:
            by_group = drawn(len(x), seed, groups=groups[known])
            ends = interval(kendall_of(x, y, by_group))
        found["kendall_group_low"], found["kendall_group_high"] = ends
    return found


def _pairs(counts: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.asarray(((counts @ matrix) * counts).sum(axis=1))
