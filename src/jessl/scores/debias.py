"""From n rows to infinitely many: the block jackknife and its Marchenko-Pastur correction.

Few rows make the entropy of the singular values too small. The jackknife J = B R - (B-1) mean(R
without block b) removes what falls as 1/n; what it leaves was measured for white rows and is
computed here: J exp(-g(d/n)). Its 95 % interval covers .93 to .97 for Gaussian and rectified
features from n = 4 d on; .71 to .91 where the rows' norms are log-normal (sd .5).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


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


def correction(c: float, blocks: int = 20) -> float:
    """g(c) = log[B rho(c) - (B-1) rho(c B/(B-1))]: log of what the jackknife leaves of the bias.

    Args:
        c: d / n, above 0 and at most (B-1)/B.
        blocks: B.

    Returns:
        g(1/4) = .00297, g(1/6) = .00122, g(1/10) = .00042 for B = 20.

    Raises:
        ValueError: for c outside of that range.
    """
    if not 0 < c <= (blocks - 1) / blocks:
        raise ValueError(f"c: needs 0 < d/n <= {(blocks - 1) / blocks}, got {c}")
    wider = c * blocks / (blocks - 1)
    return math.log(blocks * _rho(c) - (blocks - 1) * _rho(wider))


def interval(center: float, sd: float, blocks: int) -> tuple[float, float]:
    """95 % interval from Student's t with blocks - 1 degrees of freedom."""
    from scipy.stats import t

    half = float(t.ppf(0.975, blocks - 1)) * sd
    return center - half, center + half


def _rho(c: float) -> float:
    """Effective rank of white rows over d: log rho = log m1 - E[s log s] / m1, m1 = E[s].

    s = sqrt(x), x of the Marchenko-Pastur law of ratio c and unit variance. With
    x = 1 + c - 2 sqrt(c) cos(u) the density is 2 sin(u)^2 / (pi x) on 0 .. pi, smooth and
    periodic, for which the midpoint rule converges geometrically.
    """
    points = 4096
    u = (np.arange(points) + 0.5) * (math.pi / points)
    x = 1 + c - 2 * math.sqrt(c) * np.cos(u)
    weight = 2 * np.sin(u) ** 2 / x / points
    s = np.sqrt(x)
    m1 = float((weight * s).sum())
    return m1 * math.exp(-float((weight * s * np.log(s)).sum()) / m1)
