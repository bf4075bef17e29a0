"""One image a cluster: the clusters without labels first, large ones before small ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.curation.clusters import assign, centres_of
from jessl.curation.picking.base import Pool

# as published for typicality: more clusters are of few images each
MOST_CLUSTERS, LEAST_ROWS = 500, 5


def clusters(pool: Pool, budget: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(cluster of each row, centres): as many as images with a label and images to choose."""
    count = min(len(pool.labelled) + budget, MOST_CLUSTERS, len(pool))
    usable = pool.allowed.copy()
    usable[pool.labelled] = True
    centres = centres_of(pool.rows[usable], count, seed)
    return assign(pool.rows, centres), centres


def best_of_clusters(
    pool: Pool, cluster: NDArray[np.int64], cost: NDArray[np.float64], budget: int
) -> NDArray[np.int64]:
    """The rows of the smallest cost: each from the cluster with the fewest labels so far.

    Of clusters with equally many the largest; those of fewer than 5 rows last.
    """
    count = int(cluster.max()) + 1
    labels = np.bincount(cluster[pool.labelled], minlength=count)
    sizes = np.bincount(cluster, minlength=count)
    order = np.flatnonzero(pool.allowed)
    order = order[np.lexsort((order, cost[order], cluster[order]))]
    begin = np.searchsorted(cluster[order], np.arange(count))
    end = np.searchsorted(cluster[order], np.arange(count), side="right")
    chosen: list[int] = []
    while len(chosen) < budget:
        open_ = np.flatnonzero(begin < end)
        small = sizes[open_] < LEAST_ROWS
        c = open_[np.lexsort((open_, -sizes[open_], labels[open_], small))[0]]
        chosen.append(int(order[begin[c]]))
        begin[c] += 1
        labels[c] += 1
    return np.array(chosen, np.int64)
