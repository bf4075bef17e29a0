"""Gaussian noise determined by a seed and a position: equal on CPU and GPU and on all machines.

Element e of a view [c, s, s] (flattened) gets normal[(h >> 16 (e mod 4)) mod 2^16], with
h = mix64(seed + (e div 4 + 1) GOLDEN) and `normal` the table below. For an image that was grey
all channels get the noise of the first (`noise_shared`).
"""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def normal_table() -> np.ndarray:
    """Float32 [65536], read-only: the quantiles (i + 1/2) / 65536 of N(0, 1).

    The distribution of a number drawn from it differs from the normal one by less than 1e-5
    (Kolmogorov's distance); the largest number is 4.17.
    """
    from scipy.special import ndtri

    table: np.ndarray = ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)
    table.flags.writeable = False
    return table
