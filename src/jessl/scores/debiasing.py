"""From n rows to infinitely many: the block jackknife and its Marchenko-Pastur correction.

Few rows make the entropy of the singular values too small. The jackknife J = B R - (B-1) mean(R
without block b) removes what falls as 1/n; what it leaves is computed here for white rows, with
the unlike lengths that the rows have: J exp(-g(d/n)). The 95 % interval then covers from n = 4 d
on, also where the rows' lengths have heavy tails (benchmarks/bench_coverage.py, docs/scores.md).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores import marchenko_pastur
from jessl.scores.gram.row_norms import Weights


def jackknife(value: float, deleted: NDArray[np.float64]) -> tuple[float, float]:
    """The jackknife estimate and its standard deviation.

    Args:
        value: the statistic R of all rows.
        deleted: [B] the statistic without each of B blocks, B of at least 2.

    Returns:
        (B R - (B-1) mean, sqrt((B-1)/B sum (R_b - mean)^2)) (Efron and Tibshirani 1993, ch. 11).
    """
    blocks = len(deleted)
    mean = float(deleted.mean())
    spread = float(((deleted - mean) ** 2).sum())
    return blocks * value - (blocks - 1) * mean, math.sqrt((blocks - 1) / blocks * spread)


def correction(c: float, blocks: int = 20, scales: Weights | None = None) -> float:
    """g(c) = log[B rho(c) - (B-1) rho(c B/(B-1))]: log of what the jackknife leaves of the bias.

    Args:
        c: d / n, above 0 and at most (B-1)/B.
        blocks: B.
        scales: of the rows' lengths; None: all alike.

    Returns:
        g(1/4) = .00297, g(1/6) = .00122, g(1/10) = .00042 for B = 20 and equal scales; NaN where
        too few rows carry weight.

    Raises:
        ValueError: for c outside of that range.
    """
    if not 0 < c <= (blocks - 1) / blocks:
        raise ValueError(f"c: needs 0 < d/n <= {(blocks - 1) / blocks}, got {c}")
    wider = c * blocks / (blocks - 1)
    if scales is None:
        return math.log(
            blocks * marchenko_pastur.rho(c) - (blocks - 1) * marchenko_pastur.rho(wider)
        )
    here, there = (
        marchenko_pastur.rho_of_scales(c, scales),
        marchenko_pastur.rho_of_scales(wider, scales),
    )
    left = blocks * here - (blocks - 1) * there
    return math.log(left) if left > 0 else math.nan


def interval(center: float, sd: float, blocks: int) -> tuple[float, float]:
    """95 % interval from Student's t with blocks - 1 degrees of freedom."""
    from scipy.stats import t

    half = float(t.ppf(0.975, blocks - 1)) * sd
    return center - half, center + half
