"""The paired bootstrap: error rates under resampling of the items they were measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_MOST_CELLS = 5 * 10**7
# above this many units means are normal to within the accuracy of the resamples
_MOST_DRAWN_UNITS = 1000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value


class Resampled:
    """Means over items under resampling of one set of items, each paired with the others.

    Values of 0 or 1 are drawn by their counts: resampling items is then a multinomial draw over
    the patterns of right and wrong, and a million items cost as much as ten. Other values, and
    items in units (groups), are drawn unit by unit up to 1,000 units; beyond, their means are drawn
    from the corresponding normal distribution.

    Args:
        values: {name: [n] numbers, NaN where this mean leaves the item out}.
        rng: source of the draws.
        units: [n], equal for items that are drawn together; None: all are independent.
    """

    def __init__(
        self,
        values: dict[str, NDArray[np.float64]],
        rng: np.random.Generator,
        units: NDArray[np.int64] | None = None,
    ) -> None:
        table = np.stack(list(values.values()), axis=1)
        known = ~np.isnan(table)
        table = np.where(known, table, 0.0)
        if units is None and ((table == 0) | (table == 1)).all():
            rates = _resample_patterns(np.where(known, table, 2.0), rng)
        else:
            rates = _resample_units(table, known, rng, units)
        self._rates = {name: rates[:, k] for k, name in enumerate(values)}

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """float64 [RESAMPLES]: the mean `name` in each resample."""
        return self._rates[name]


def _resample_patterns(table: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of columns of 0, 1 and 2 (left out)."""
    code = np.zeros(len(table), np.int64)
    for column in table.T:  # equal codes of the columns so far and equal values here: one pattern
        code = np.unique(3 * code + column.astype(np.int64), return_inverse=True)[1]
    _, first, sizes = np.unique(code, return_index=True, return_counts=True)
    rows = table[first]
    draws = rng.multinomial(len(table), sizes / len(table), size=RESAMPLES).astype(float)
    sums, counts = draws @ (rows == 1), draws @ (rows != 2)
    rates: NDArray[np.float64] = sums / np.maximum(counts, 1)
    return rates


def _resample_units(
    table: NDArray[np.float64],
    known: NDArray[np.bool_],
    rng: np.random.Generator,
    units: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    counts = known.astype(float)
    if units is not None:
        _, unit = np.unique(units, return_inverse=True)
        sums = np.zeros((unit.max() + 1, table.shape[1]))
        sizes = np.zeros_like(sums)
        np.add.at(sums, unit, table)
        np.add.at(sizes, unit, counts)
        table, counts = sums, sizes
    n = len(table)
    if n > _MOST_DRAWN_UNITS:
        means = table.sum(axis=0) / counts.sum(axis=0)
        # influence of each unit on the ratio of sums
        influence = (table - means * counts) / counts.sum(axis=0)
        spread = influence.T @ influence * (n / (n - 1))
        return rng.multivariate_normal(means, spread, size=RESAMPLES, method="eigh")
    rates = np.empty((RESAMPLES, table.shape[1]))
    for start in range(0, RESAMPLES, 200):
        draws = rng.multinomial(n, np.full(n, 1 / n), size=200).astype(float)
        rates[start : start + 200] = (draws @ table) / np.maximum(draws @ counts, 1)
    return rates


def resample_balanced_accuracy(
    wrong: NDArray[np.bool_],
    place: NDArray[np.intp],
    rng: np.random.Generator,
    units: NDArray[np.int64] | None = None,
) -> NDArray[np.float64] | None:
    """float64 [RESAMPLES]: the balanced accuracy (mean over classes of the share that is right).

    Args:
        wrong: bool [n]; place: [n], the index 0, 1, ... of the class of each item.
        rng: source of the draws.
        units: as for `Resampled`.

    Returns:
        Classes without items in a resample are left out of its mean. None for so many units and
        classes that the table of their counts would exceed 400 MB.
    """
    classes = int(place.max()) + 1
    cell = 2 * place + wrong
    if units is None:
        counts = np.bincount(cell, minlength=2 * classes)
        table = rng.multinomial(len(cell), counts / len(cell), size=RESAMPLES).astype(float)
    else:
        _, unit = np.unique(units, return_inverse=True)
        n = int(unit.max()) + 1
        if n * 2 * classes > _MOST_CELLS:
            return None
        by_unit = np.bincount(unit * 2 * classes + cell, minlength=n * 2 * classes)
        by_unit = by_unit.reshape(n, -1).astype(float)
        table = np.empty((RESAMPLES, 2 * classes))
        for start in range(0, RESAMPLES, 50):
            draws = rng.multinomial(n, np.full(n, 1 / n), size=50)
            table[start : start + 50] = draws @ by_unit
    right, drawn = table[:, ::2], table[:, ::2] + table[:, 1::2]
    present = drawn > 0
    totals = np.where(present, right / np.maximum(drawn, 1), 0.0).sum(axis=1)
    balanced: NDArray[np.float64] = totals / present.sum(axis=1)
    return balanced


def percentile_interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of the draws (percentile interval)."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def widened(low: float, high: float, factor: float) -> tuple[float, float]:
    """An interval about its centre, for a variance that is larger by a factor."""
    if factor == 1:
        return low, high
    middle, half = (low + high) / 2, (high - low) / 2 * factor**0.5
    return middle - half, middle + half
