"""From n rows to infinitely many: the block jackknife and its Marchenko-Pastur correction.

Few rows make the entropy of the singular values too small. The jackknife J = B R - (B-1) mean(R
without block b) removes the part of that bias that falls as 1/n. The part that it leaves is
computed here for white rows with the same distribution of lengths as the rows at hand, and the
corrected value is J exp(-g(d/n)). The 95 % interval then covers from n = 4 d on, also for row
lengths with heavy tails (benchmarks/bench_coverage.py, docs/scores.md).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.core.statistics import student_t_half_width
from jessl.scores.gram.row_norms import RowScales
from jessl.scores.marchenko_pastur import scaled_rank_share, white_rank_share


def jackknife_estimate(value: float, deleted: NDArray[np.float64]) -> tuple[float, float]:
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


def log_remaining_bias(c: float, blocks: int = 20, scales: RowScales | None = None) -> float:
    """g(c) = log[B rho(c) - (B-1) rho(c B/(B-1))]: log of the bias that the jackknife leaves.

    rho is `white_rank_share`, or `scaled_rank_share` where the rows' lengths differ.

    Args:
        c: d / n, above 0 and at most (B-1)/B.
        blocks: B.
        scales: of the rows' lengths; None: all equal.

    Returns:
        g(1/4) = .00297, g(1/6) = .00122, g(1/10) = .00042 for B = 20 and equal scales; NaN where
        too few rows carry weight.

    Raises:
        ValueError: for c outside that range.
    """
    if not 0 < c <= (blocks - 1) / blocks:
        raise ValueError(f"c: expected 0 < d/n <= {(blocks - 1) / blocks}, got {c}")
    wider = c * blocks / (blocks - 1)
    if scales is None:
        return math.log(blocks * white_rank_share(c) - (blocks - 1) * white_rank_share(wider))
    remaining = blocks * scaled_rank_share(c, scales) - (blocks - 1) * scaled_rank_share(
        wider, scales
    )
    return math.log(remaining) if remaining > 0 else math.nan


def student_t_interval(center: float, sd: float, blocks: int) -> tuple[float, float]:
    """95 % interval from Student's t with blocks - 1 degrees of freedom."""
    half = student_t_half_width(sd, blocks - 1)
    return center - half, center + half
