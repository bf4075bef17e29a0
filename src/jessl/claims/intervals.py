"""Intervals of paired differences: over seeds and test images, over groups, over repetitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

RESAMPLES = 2_000
Estimate = tuple[float, float, float]


def over_seeds_and_images(first: npt.ArrayLike, second: npt.ArrayLike) -> Estimate:
    """The mean difference with its 95 % interval over seeds and over test images.

    The variance of the mean is the sum of that over seeds and that over images (of the difference
    averaged over seeds), which counts their interaction twice: mildly conservative. Degrees of
    freedom by Welch and Satterthwaite.

    Args:
        first, second: [seeds, images], how correct each is (0..1), paired by seed and image; one
            seed stands for all.

    Example:
        effect, low, high = over_seeds_and_images(trained_correct, untrained_correct)
    """
    a, b = np.broadcast_arrays(
        np.atleast_2d(np.asarray(first, float)), np.atleast_2d(np.asarray(second, float))
    )
    difference = a - b
    seeds, images = difference.shape
    if seeds < 2:
        raise ValueError(f"seeds: expected at least 2, got {seeds}")
    by_seed = float(difference.mean(1).var(ddof=1)) / seeds
    by_image = float(difference.mean(0).var(ddof=1)) / images
    effect = float(difference.mean())
    total = by_seed + by_image
    if total == 0:
        return effect, effect, effect
    degrees = total**2 / (by_seed**2 / (seeds - 1) + by_image**2 / (images - 1))
    half = float(stats.t.ppf(0.975, degrees)) * math.sqrt(total)
    return effect, effect - half, effect + half


def over_repetitions(differences: npt.ArrayLike) -> Estimate:
    """The mean of paired differences with its 95 % interval, by Student's t.

    Args:
        differences: [n], n at least 2.
    """
    values = np.asarray(differences, float)
    if len(values) < 2:
        raise ValueError(f"differences: expected at least 2, got {len(values)}")
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    mean = float(values.mean())
    return mean, mean - half, mean + half


def over_groups(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    groups: Sequence[object],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A statistic of rows with its 95 % percentile interval, groups of rows resampled whole.

    Args:
        statistic: of row numbers, which may repeat; NaN where it is not defined.
        groups: [rows], the group of each row.

    Returns:
        (value, low, high); a NaN interval where fewer than half of the resamples are defined.
    """
    names, member = np.unique(np.asarray([str(g) for g in groups]), return_inverse=True)
    rows = [np.flatnonzero(member == k) for k in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        some = rng.integers(0, len(rows), len(rows))
        drawn.append(statistic(np.concatenate([rows[k] for k in some])))
    values = np.asarray(drawn)
    values = values[np.isfinite(values)]
    value = statistic(np.arange(len(member)))
    if len(values) < resamples / 2:
        return value, math.nan, math.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return value, float(low), float(high)
