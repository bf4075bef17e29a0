"""A linear probe after fitting, whatever it was fitted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Labels, Options


@dataclass(frozen=True, eq=False)
class Linear:
    """votes = ((x - mean) / scale) @ weights + bias.

    Attributes:
        classes: int64 [classes]; mean, scale: float64 [d]; weights: [d, classes]; bias: [classes].
        converged: whether the solver reached its tolerance.
        probabilistic: whether the votes are logits.
    """

    classes: Labels
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    converged: bool
    probabilistic: bool

    @property
    def details(self) -> Options:
        """Nothing was left open."""
        return {}

    def votes(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """[m, d] -> [m, classes]."""
        return ((x - self.mean) / self.scale) @ self.weights + self.bias
