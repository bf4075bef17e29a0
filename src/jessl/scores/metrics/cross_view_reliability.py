"""Cross-view reliability: which share of the weak directions' variance do two views agree on?

Cross-validated principal components (Stringer et al. 2019, Nature 571, cvPCA) with the views of an
image in the place of repeats: directions u_k are the principal components of one half of the
images; on the other half s_k is the covariance between two views of an image along u_k, t_k the
variance. s_k / t_k is the reliability of direction k, an intraclass correlation: 1 where views
agree, 0 where the direction holds noise. The score is its mean over the places first .. last; the
strong directions, which every trained encoder has, are left out. A rank counts the tail whatever it
holds; this asks what the tail holds.

The halves take both roles. Degrees of freedom: n / 2 images for each half, d directions fitted.
Error bars: block jackknife over images, components fitted anew. Range -1 / (q - 1) .. 1, around 0
for noise. At the default range d must be above 11; beyond 125 features the last place is 100.

Known failures: shortcuts that views keep are reliable; so is a net whose views agree on everything
because it ignores the details of images; with fewer than some 4 (last - first) images directions
are mostly noise. It compares only what has one recipe of views and one width.

Cost: 2 q n d^2 and 6 d^3 for each of the spectra, two for each block of the jackknife.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._view_halves import ViewMoments, cross_fit


def compute_cross_view_reliability(
    z: NDArray[np.floating],
    block: NDArray[np.int64] | None,
    *,
    first: int = 11,
    last: int = 100,
) -> RowScoreResult:
    """Mean over the places first .. last of s_k / t_k, on images that did not fit u_k.

    Example:
        jessl.score(None, "cross_view_reliability:first=5:last=20", views=z)  # z: [views, n, d]

    Args:
        z: [views, n, d], at least two views.
        block: [n], or None.
        first, last: places of the principal components, from 1; the last is at most .8 d, and one
            less than there are images in a half.

    Raises:
        ValueError: for fewer than two views, first below 1, or last below first.
    """
    if not 1 <= first <= last:
        raise ValueError(f"first and last: expected 1 <= first <= last, got {first} and {last}")
    n, d = z.shape[1:]
    end = min(last, int(0.8 * d), n // 2 - 1)
    if end < first:
        return RowScoreResult(
            value=float("nan"),
            deleted=None,
            warnings=(
                f"{n} images of {d} features have no components {first} to {last} to test: the "
                f"last that can be tested is {max(end, 0)}",
            ),
        )

    def held_out(fit: ViewMoments, test: ViewMoments, _half: int) -> float:
        from scipy.linalg import eigh

        _, vectors = eigh(fit.covariance, check_finite=False)
        u = vectors[:, ::-1][:, first - 1 : end]
        shared = np.einsum("dk,dk->k", u, test.shared @ u)
        variance = np.einsum("dk,dk->k", u, test.covariance @ u)
        # directions without variance hold nothing that views could agree on
        floor = 1e-12 * float(np.trace(test.covariance)) / d
        return float(np.where(variance > floor, shared / np.maximum(variance, floor), 0.0).mean())

    result = cross_fit(z, block, held_out, "cross_view_reliability")
    if end == last:
        return result
    note = f"components {first} to {end} are tested, not {last}: too few features or images"
    return RowScoreResult(
        value=result.value, deleted=result.deleted, warnings=(*result.warnings, note)
    )


SCORE = RowScore(
    compute=compute_cross_view_reliability,
    views=True,
    higher_is_better=True,
    options={"first": 11, "last": 100},
    source="cross-validated PCA between views (after Stringer et al. 2019, Nature 571)",
)
