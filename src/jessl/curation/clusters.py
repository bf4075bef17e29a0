"""k-means of many rows: centres from a sample, then every row to its nearest centre."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

# rows that centres are computed from; more change them little
SAMPLED_ROWS = 20_000
_ENTRIES = 2**23


def centres_of(
    rows: NDArray[np.float32], count: int, seed: int, *, iterations: int = 100, starts: int = 5
) -> NDArray[np.float32]:
    """Centres [at most count, r] of k-means on up to 20,000 rows (20 for each centre if more)."""
    from sklearn.cluster import KMeans

    most = max(SAMPLED_ROWS, 20 * count)
    if len(rows) > most:
        chosen = np.random.default_rng([seed, 11]).choice(len(rows), most, replace=False)
        rows = rows[np.sort(chosen)]
    fit = KMeans(min(count, len(rows)), n_init=starts, max_iter=iterations, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different rows than centres
        fit.fit(rows)
    centres: NDArray[np.float32] = fit.cluster_centers_.astype(np.float32)
    return centres


def assign(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest centre of each row: int64 [n]."""
    half = (centres**2).sum(axis=1) / 2
    nearest = np.empty(len(rows), np.int64)
    step = max(1, _ENTRIES // len(centres))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        nearest[start : start + step] = (part @ centres.T - half).argmax(axis=1)
    return nearest
