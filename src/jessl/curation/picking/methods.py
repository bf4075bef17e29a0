"""The methods by name, and the one door to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import check_choice
from jessl.curation.picking import coverage, k_centre, medoids, random, typicality
from jessl.curation.picking.base import Pool, distance_to

Method = Callable[[Pool, int, int], NDArray[np.int64]]
METHODS: dict[str, Method] = {
    "typicality": typicality.choose,
    "coverage": coverage.choose,
    "k-centre": k_centre.choose,
    "medoids": medoids.choose,
    "random": random.choose,
}
DEFAULT_METHOD = "medoids"


@dataclass(frozen=True, eq=False)
class LabelFirst:
    """Images to label, the most useful first.

    Attributes:
        method: how they were chosen.
        rows: int64 [budget].
        represents: int64 [budget], images of the pool for which it is the nearest of those with a
            label, the given ones included.
    """

    method: str
    rows: NDArray[np.int64]
    represents: NDArray[np.int64]


def label_first(pool: Pool, budget: int, method: str | None = None, seed: int = 0) -> LabelFirst:
    """Choose `budget` rows of a pool.

    Raises:
        ValueError: for an unknown method.
    """
    name = check_choice("method", method or DEFAULT_METHOD, METHODS)
    rows = METHODS[name](pool, budget, seed)
    _, which = distance_to(pool.rows, np.r_[rows, pool.labelled])
    return LabelFirst(name, rows, np.bincount(which, minlength=len(rows))[: len(rows)])
