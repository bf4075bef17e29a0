"""What a probe answers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeResult:
    """How well labels can be read off embeddings.

    Attributes:
        accuracy, error: shares of the labelled test rows, 0..1; they add up to 1.
        top5: share with the label among the five best classes; None with fewer than 6 classes.
        low, high: 95 % interval of `error`: Wilson's, for the choice of test rows; the spread
            over training sets and probes is not in it.
        params: the protocol: kind, hyperparameters, counts, standardisation, what was left out.
        curve: None, or what the hyperparameter was chosen by: {"C": [...], "error": [...]},
            measured on parts of the training rows.
        correct: bool [m], for each labelled test row in order: whether it was classified right.
    """

    accuracy: float
    error: float
    top5: float | None
    low: float
    high: float
    params: dict[str, Any]
    curve: dict[str, list[float]] | None
    correct: NDArray[np.bool_] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """All fields but `correct` as values that JSON holds."""
        return {k: v for k, v in asdict(self).items() if k != "correct"}


def wilson(wrong: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927): inside 0..1, sound at 0 and at 1."""
    z = 1.959963984540054
    share = wrong / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # rounding must not put the share itself outside
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
