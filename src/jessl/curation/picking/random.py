"""At random: the baseline, and the choice from which accuracies can be estimated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.curation.picking.base import Pool


def choose(pool: Pool, budget: int, seed: int) -> NDArray[np.int64]:
    """Random rows in random order: int64 [budget]."""
    rng = np.random.default_rng([seed, 13])
    return rng.permutation(np.flatnonzero(pool.allowed))[:budget]
