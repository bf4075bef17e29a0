"""Rank correlations with intervals from resampled rows, all resamples at once.

A resample is stored as counts: how often each row is drawn. Kendall's tau-b and Spearman's rho of
all resamples are matrix products over pairs of rows, equal to scipy's for each resampled table.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

DRAWS = 1000
MOST_ROWS = 1000  # for pairs of rows are counted in every resample
SAMPLED = f"of more than {MOST_ROWS} models, intervals come from a seeded sample of {MOST_ROWS}"


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
    # small whole numbers: float32 holds them exactly
    concordance = np.sign(x[:, None] - x).astype(np.float32)
    concordance *= np.sign(y[:, None] - y).astype(np.float32)
    paired = (counts.astype(np.float32) @ concordance).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.sqrt(_untied(x, counts) * _untied(y, counts))
        return np.asarray((paired * counts).sum(axis=1) / below)


def spearman_of(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman's rho of each resample: [draws]; NaN where one side is constant."""
    total = counts.sum(axis=1, keepdims=True)
    centred = []
    for values in (x, y):
        # mid-rank within the resample: rows below, and half of those that are equal
        held, places = _by_value(values, counts)
        ranks = (np.cumsum(held, axis=1) - 0.5 * held)[:, places]
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

    Of more than MOST_ROWS rows the intervals come from a seeded sample of as many, and are made
    as narrow as those of all rows (an error falls with the root of the rows); those by group are
    left as wide as they come.

    Returns:
        n, kendall, kendall_p, kendall_low, kendall_high, spearman and likewise; with groups also
        kendall_group_low and _high. Intervals are 95 % percentile intervals of 1000 resamples. NaN
        with fewer than four rows, or where one side is constant.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    result: dict[str, float | int] = {"n": len(x)}
    unclear = len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0
    some = sample(len(x), seed)
    u, v = x[some], y[some]
    counts = None if unclear else drawn(len(u), seed)
    for name, exact, resampled in (
        ("kendall", stats.kendalltau, kendall_of),
        ("spearman", stats.spearmanr, spearman_of),
    ):
        keys = (name, f"{name}_p", f"{name}_low", f"{name}_high")
        if counts is None:
            result.update(dict.fromkeys(keys, float("nan")))
            continue
        estimate = exact(x, y)
        low, high = interval(resampled(u, v, counts))
        if len(u) < len(x) and np.isfinite(low):  # else the sample is constant
            middle, narrower = exact(u, v).statistic, (len(u) / len(x)) ** 0.5
            low, high = (estimate.statistic + narrower * (end - middle) for end in (low, high))
        result.update(
            zip(keys, map(float, (estimate.statistic, estimate.pvalue, low, high)), strict=True)
        )
    if groups is not None:
        ends = (float("nan"), float("nan"))
        if counts is not None:
            by_group = drawn(len(u), seed, groups=groups[known][some])
            ends = interval(kendall_of(u, v, by_group))
        result["kendall_group_low"], result["kendall_group_high"] = ends
    return result


def sample(n: int, seed: int, most: int = MOST_ROWS) -> np.ndarray:
    """At most `most` of n rows, drawn once without replacement, in their order: int64 [rows]."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _by_value(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each different value is drawn, in their order [draws, values], and the place of
    every row's value among them [rows]."""
    order = np.argsort(values, kind="stable")
    different, places = np.unique(values, return_inverse=True)
    starts = np.searchsorted(values[order], different)
    return np.add.reduceat(counts[:, order], starts, axis=1), places


def _untied(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Ordered pairs of each resample that are not equal: [draws]."""
    held, _ = _by_value(values, counts)
    return np.asarray(counts.sum(axis=1) ** 2 - (held * held).sum(axis=1))
