"""TypiClust (Hacohen, Dekel and Weinshall, ICML 2022, arXiv 2202.02794): the typical image of each
cluster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.curation.picking._by_cluster import best_of_clusters, clusters
from jessl.curation.picking.base import Pool


def choose(pool: Pool, budget: int, seed: int) -> NDArray[np.int64]:
    """The most typical row of each cluster that has no label, large clusters first: int64 [budget].

    k-means divides the pool into as many clusters as there will be labels (at most 500, as
    published). Typical is a row with a small mean distance to its 20 nearest rows. The publication
    counts only neighbours of the same cluster, here all count: the difference is at borders.
    """
    cluster, _ = clusters(pool, budget, seed)
    return best_of_clusters(pool, cluster, pool.density_distance, budget)
