"""A fitted linear probe: the result of the logistic and of the ridge probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Features, Labels, Options


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """decision = ((x - mean) / scale) @ weights + bias.

    Attributes:
        classes: int64 [classes]; mean, scale: float64 [d]; weights: [d, classes]; bias: [classes].
        converged: whether the solver reached its tolerance.
        probabilistic: whether the decision values are logits.
    """

    classes: Labels
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    converged: bool
    probabilistic: bool
    counts_votes: ClassVar[bool] = False

    @property
    def details(self) -> Options:
        """None: all options have fixed values."""
        return {}

    def decision_function(self, x: Features) -> NDArray[np.float64]:
        """[m, d] -> [m, classes]."""
        return ((x - self.mean) / self.scale) @ self.weights + self.bias

    def folded(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights [classes, d] and bias [classes] of the same decision on features as they are.

        Example:
            weights, bias = probe.folded()
            x @ weights.T + bias  # probe.decision_function(x)
        """
        weights = (self.weights / self.scale[:, None]).T
        return weights, self.bias - weights @ self.mean
