"""Matrix entropy: Renyi entropy of the unit rows' Gram spectrum (Skean et al., arXiv 2502.02013).

Higher: more directions are used. It uses eigenvalues, not singular values as RankMe does, so a tail
has less weight. The authors' code sets negative entries of the Gram matrix (not eigenvalues) to 0,
which raises it by 13 to 22 % on some models; here they stay. Rows are divided by their norms, not
centred: a shared mean lowers it. Noise dimensions raise it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import SpectralScore


def compute_matrix_entropy(
    eigenvalues: NDArray[np.float64], n: int, d: int, *, order: float = 1.0, normalized: bool = True
) -> float:
    """Entropy of p = l / sum l, natural logarithm.

    order 1: -sum p log p (von Neumann); else log(sum p^order) / (1 - order) (Renyi).

    Args:
        order: above 0.
        normalized: divided by log min(n, d), its maximum: 0 .. 1 ("maxEntropy" of the authors).

    Raises:
        ValueError: for an order that is not above 0.
    """
    if not order > 0:
        raise ValueError(f"matrix_entropy: expected an order above 0, got {order}")
    total = float(eigenvalues.sum())
    if total == 0:
        return 0.0
    p = eigenvalues[eigenvalues > 0] / total
    if order == 1:
        entropy = -float((p * np.log(p)).sum())
    else:
        top = float(p.max())  # large powers of small shares would be 0
        entropy = (math.log(float(((p / top) ** order).sum())) + order * math.log(top)) / (
            1 - order
        )
    most = math.log(len(eigenvalues)) if normalized else 1.0
    return entropy / most if most > 0 else 0.0


SCORE = SpectralScore(
    compute=compute_matrix_entropy,
    rows="unit",
    higher_is_better=True,
    options={"order": 1.0, "normalized": True},
    source="Skean et al. 2025",
)
