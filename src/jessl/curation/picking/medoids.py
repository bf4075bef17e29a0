"""k-means: the image nearest to each centre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.curation.picking._by_cluster import best_of_clusters, clusters
from jessl.curation.picking.base import Pool


def choose(pool: Pool, budget: int, seed: int) -> NDArray[np.int64]:
    """The row nearest to the centre of each cluster without a label: int64 [budget]."""
    cluster, centres = clusters(pool, budget, seed)
    step = 2**14
    cost = np.empty(len(pool))
    for start in range(0, len(pool), step):
        part = slice(start, start + step)
        cost[part] = ((pool.rows[part] - centres[cluster[part]]) ** 2).sum(axis=1)
    return best_of_clusters(pool, cluster, cost, budget)
