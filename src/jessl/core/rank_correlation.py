"""Rank correlation of two orders, and the pooled variance of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# fewer settings have no meaningful order
FEWEST = 3


@dataclass(frozen=True)
class Agreement:
    """The rank correlation of two orders.

    Attributes:
        value: Kendall's tau-b or Spearman's rho, -1 to 1; None for fewer than three settings, or
            where one of the two is constant.
        p: two-sided p-value for no association; None where the value is.
        settings: how many were compared.
    """

    value: float | None
    p: float | None
    settings: int


def kendall(a: Sequence[float], b: Sequence[float]) -> Agreement:
    """Kendall's tau-b between two rows of utilities; pairs with NaN are left out."""
    return _agreement("kendalltau", a, b)


def spearman(a: Sequence[float], b: Sequence[float]) -> Agreement:
    """Spearman's rho between two rows of utilities; pairs with NaN are left out."""
    return _agreement("spearmanr", a, b)


def pooled(rows: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Pooled variance within rows and its degrees of freedom, the sum of (length - 1).

    (None, 0) where no row has two numbers.
    """
    df = sum(len(row) - 1 for row in rows if row)
    if not df:
        return None, 0
    return sum((v - mean(row)) ** 2 for row in rows for v in row) / df, df


def mean(row: Sequence[float]) -> float:
    """The mean; NaN for an empty row."""
    return sum(row) / len(row) if row else math.nan


def _agreement(kind: str, a: Sequence[float], b: Sequence[float]) -> Agreement:
    from scipy import stats

    pairs = [p for p in zip(a, b, strict=True) if all(math.isfinite(v) for v in p)]
    if len(pairs) < FEWEST or any(len({p[k] for p in pairs}) < 2 for k in (0, 1)):
        return Agreement(None, None, len(pairs))
    result = getattr(stats, kind)([p[0] for p in pairs], [p[1] for p in pairs])
    p = float(result.pvalue)
    return Agreement(float(result.statistic), p if math.isfinite(p) else None, len(pairs))
