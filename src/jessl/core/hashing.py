"""The hash that stands for randomness wherever an order of arrival must not matter."""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix64(x: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014): uint64 [...] to uint64 [...].

    Its results are part of what jessl promises: views, hold-outs and jackknife blocks hang on them.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def splitmix64(x: np.ndarray) -> np.ndarray:
    """One step of SplitMix64 from the states x: uint64 [...] to uint64 [...]."""
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what a hash wants
        return mix64(x + GOLDEN)
