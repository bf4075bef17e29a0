"""k-centre (Sener and Savarese, ICLR 2018, arXiv 1708.00489): always the image farthest from those
with labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.curation.picking.base import Pool, distance_to


def choose(pool: Pool, budget: int, seed: int) -> NDArray[np.int64]:
    """Greedy farthest-first rows: int64 [budget]; without labels it begins in the densest place.

    The seed is not used.
    """
    nearest, _ = distance_to(pool.rows, pool.labelled)
    chosen: list[int] = []
    while len(chosen) < budget:
        if chosen or len(pool.labelled):
            row = int(np.where(pool.allowed, nearest, -np.inf).argmax())
            if nearest[row] == -np.inf:  # only rows that are chosen already are as far
                break
        else:
            row = int(np.where(pool.allowed, pool.density_distance, np.inf).argmin())
        chosen.append(row)
        nearest = np.minimum(nearest, 1 - pool.rows @ pool.rows[row])
        nearest[row] = -np.inf
    return np.array(chosen, np.int64)
