"""Evenly spaced samples of a range of indices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def linspace_indices(n: int, sample: int) -> npt.NDArray[np.int64]:
    """Up to `sample` evenly spaced indices of 0..n-1, both ends included: int64, ascending."""
    return np.unique(np.linspace(0, n - 1, min(n, max(sample, 1))).round().astype(np.int64))
