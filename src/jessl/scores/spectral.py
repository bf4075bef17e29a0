"""What a file of this folder declares to be a score of the spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SpectralScore:
    """A score that the eigenvalues of the (centred) Gram matrix determine.

    Attributes:
        of: eigenvalues [k], largest first, none negative -> the score; 0.0 when all are 0.
        cap: k -> the largest value that k eigenvalues can give.
        center: whether the rows are centred first.
        higher_is_better: the direction; None where a value in between is best.
        entropy_of_singular_values: whether the Marchenko-Pastur correction of debias.py holds.
        params: conventions that belong to the number.
    """

    of: Callable[[NDArray[np.float64]], float]
    cap: Callable[[int], float]
    center: bool
    higher_is_better: bool | None
    entropy_of_singular_values: bool = False
    params: dict[str, Any] = field(default_factory=dict)
