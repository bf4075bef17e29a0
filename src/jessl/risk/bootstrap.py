"""The paired bootstrap over items, drawn from counts instead of items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


class Resampled:
    """Error rates under resampling of one set of items, each rate paired with the others.

    Several risks are measured on the same items. Resampling items with replacement is, for
    their error counts, the same as a multinomial draw over the patterns of right and wrong;
    so a million items cost as much as ten.

    Args:
        wrong: {name: [n] 1.0 wrong, 0.0 right, NaN where this risk leaves the item out}.
        rng: source of the draws.
    """

    def __init__(self, wrong: dict[str, NDArray[np.float64]], rng: np.random.Generator) -> None:
        table = np.stack(list(wrong.values()), axis=1)
        code = np.where(np.isnan(table), 2, table).astype(np.int64)
        patterns, counts = np.unique(code, axis=0, return_counts=True)
        draws = rng.multinomial(len(code), counts / len(code), size=RESAMPLES).astype(float)
        self._rates = {}
        for column, name in enumerate(wrong):
            measured = draws[:, patterns[:, column] != 2].sum(axis=1)
            errors = draws[:, patterns[:, column] == 1].sum(axis=1)
            self._rates[name] = errors / np.maximum(measured, 1)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """float64 [RESAMPLES]: the error rate `name` in each resample."""
        return self._rates[name]


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of the draws (percentile interval)."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
