"""Held-out PLDA information: what one view of an image tells about another, in nats.

Probabilistic linear discriminant analysis (Ioffe 2006) with images as classes, fitted on one half
of the images: shared v = c (covariance + l I) v, coordinates y = V'(z - mu) of variance 1. Two
views of an image are then Gaussian with correlation c_k along each direction, and on the other half
the score is the mean log-likelihood ratio of "the same image" against "two images":

    sum_k -ln(1 - c_k^2) / 2 + [2 c_k y1 y2 - c_k^2 (y1^2 + y2^2)] / [2 (1 - c_k^2)].

It keeps the ratio of signal to noise, which LiDAR normalises away, and is invariant to invertible
linear maps up to l, so whitening cannot inflate it. Overconfident directions cost what they are
wrong by: the score can be negative.

Degrees of freedom: n / 2 images for each half, d directions, and l, which is chosen on the two
quarters of the fitting half (`ridge` fixes it). Error bars: block jackknife with l kept.
Known failures: shortcuts that views keep; heavy tails, which a Gaussian takes for information; in
the first sweeps on which both were tried it chose worse than view_retrieval.

Cost: 2 q n d^2 and 14 d^3 for each fit, two for each block and twenty for the choice of l.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._view_halves import ViewMoments, cross_fit, halves, share_directions

# shares of the mean variance among which l is chosen
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# c beyond this is a fit without noise: its logarithm has no meaning
_LARGEST = 1 - 1e-6


def compute_plda_information(
    z: NDArray[np.floating], block: NDArray[np.int64] | None, *, ridge: float = 0.0
) -> RowScoreResult:
    """Nats by which a model of shared directions tells pairs of one image from others, held out.

    Example:
        jessl.score(None, "plda_information", views=z)  # z: [views, n, d]

    Args:
        z: [views, n, d], at least two views.
        block: [n], or None.
        ridge: l in shares of the mean variance; 0: the best of .0001 to 1 on quarters of the
            images, chosen within the half that fits.

    Raises:
        ValueError: for fewer than two views, or a negative ridge.
    """
    if not ridge >= 0:
        raise ValueError(f"ridge: expected at least 0, got {ridge}")
    n = z.shape[1]
    levels = [ridge, ridge]
    if not ridge and len(z) > 1 and n > 1:
        levels = [_best_ridge(z[:, halves(n) == half]) for half in (0, 1)]

    def held_out(fit: ViewMoments, test: ViewMoments, half: int) -> float:
        return _information(fit, test, levels[half])

    return cross_fit(z, block, held_out, "plda_information")


def _best_ridge(z: NDArray[np.floating]) -> float:
    centred = z - z.mean(axis=(0, 1), dtype=np.float64)
    one, other = ViewMoments.of(centred[:, ::2]), ViewMoments.of(centred[:, 1::2])
    if min(one.images, other.images) < 2 or not centred.any():
        return _RIDGES[-1]
    values = [_information(one, other, r) + _information(other, one, r) for r in _RIDGES]
    return _RIDGES[int(np.argmax(values))]


def _information(fit: ViewMoments, test: ViewMoments, ridge: float) -> float:
    c, v = share_directions(fit, ridge)
    c = np.minimum(c, _LARGEST)
    # the moments of the test images about the mean of the images that fit
    apart = test.total / (test.images * test.views) - fit.total / (fit.images * fit.views)
    shift = (apart @ v) ** 2
    shared = np.einsum("dk,dk->k", v, test.shared @ v) + shift
    variance = np.einsum("dk,dk->k", v, test.covariance @ v) + shift
    squares = 1 - c * c
    return float((-np.log(squares) / 2 + (c * shared - c * c * variance) / squares).sum())


SCORE = RowScore(
    compute=compute_plda_information,
    views=True,
    higher_is_better=True,
    options={"ridge": 0.0},
    source="held-out likelihood ratio of probabilistic linear discriminant analysis (Ioffe 2006)",
)
