"""LiDAR: effective rank of what separates images beyond their views (Thilak et al., ICLR 2024).

arXiv 2312.04000. Linear discriminant analysis in which each image is a class and its views are the
members. Higher is better. Views must be grouped by image, as they are here: shuffled views give a
higher, meaningless number. The paper uses 50 views (10 are within 1 %) and more images than
features; the rank cannot exceed images - 1. The paper does not give delta and eps: 1e-4 is the
value of other code, where the features' scale is near 1. delta is in the features' squared units,
so rescaled features give another number. Its authors report that it fails for VICReg with wide
embeddings.

Cost: q n d^2 for the sums and some 3 d^3 for each spectrum, where there are fewer images than
features d^3 / 3 + 2 n d^2 instead; memory 16 d^2 bytes for each block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.gram.gram import CONSTANT_SHARE, RowSums


def compute_lidar(
    z: NDArray[np.floating],
    block: NDArray[np.int64] | None = None,
    *,
    delta: float = 1e-4,
    eps: float = 1e-8,
) -> RowScoreResult:
    """exp of the entropy of p = l / sum l + eps, l the eigenvalues of Sw^-1/2 Sb Sw^-1/2.

    Memory beside z: a copy of one block of z, and of z's means.

    Args:
        z: [q, n, d], row i of each view of image i, q and n of at least 2.
        block: [n] jackknife block of each image.
        delta: added to the diagonal of Sw, the pooled covariance within images (over n (q - 1)).
        eps: added to each share.

    Returns:
        1 .. min(n - 1, d) (a little more, by eps); 0.0 where all images have the same mean.

    Raises:
        ValueError: for delta not above 0, eps out of 0 .. 1, or features so large that delta is
            lost beside them.
    """
    if not delta > 0:
        raise ValueError(f"lidar: expected delta above 0, got {delta}")
    if not 0 <= eps <= 1:
        raise ValueError(f"lidar: expected eps in 0 .. 1, got {eps}")
    q, n, d = z.shape
    if n < 2:
        return RowScoreResult(
            value=float("nan"),
            deleted=None,
            warnings=("lidar compares images: a single image is too few",),
        )
    means = z.mean(axis=0, dtype=np.float64)
    means -= means.mean(axis=0)  # sums about the common mean keep their digits
    which = np.zeros(n, np.int64) if block is None else block
    parts = [_scatter_sums(z, means, np.flatnonzero(which == b)) for b in np.unique(which)]
    between, within = parts[0]
    for more_between, more_within in parts[1:]:
        between, within = between + more_between, within + more_within
    warnings = []
    if n <= d:
        warnings.append(f"{n} images are not more than d = {d}: the rank cannot exceed {n - 1}")
    deleted = None
    # n means span at most n - 1 directions: fewer than d are a smaller problem
    few = means if n <= d else None
    if block is not None and len(parts) > 1:
        deleted = np.array(
            [
                _effective_rank(
                    between - b,
                    within - w,
                    q,
                    delta,
                    eps,
                    None if few is None else few[which != number],
                )
                for number, (b, w) in zip(np.unique(which), parts, strict=True)
            ]
        )
    value = _effective_rank(between, within, q, delta, eps, few)
    return RowScoreResult(value=value, deleted=deleted, warnings=tuple(warnings))


def _scatter_sums(
    z: NDArray[np.floating], means: NDArray[np.float64], index: NDArray[np.int64]
) -> tuple[RowSums, RowSums]:
    """Sums of the images' means, and of the views about the mean of their image."""
    between, within = RowSums.empty(z.shape[2]), RowSums.empty(z.shape[2])
    between.add(means[index])
    own = z[:, index].mean(axis=0, dtype=np.float64)
    for view in z:
        within.add(view[index] - own)
    return between, within


def _effective_rank(
    between: RowSums,
    within: RowSums,
    q: int,
    delta: float,
    eps: float,
    means: NDArray[np.float64] | None,
) -> float:
    """The score by its sums; by the images' means as well where these are fewer than d."""
    n, d = between.count, len(between.total)
    if n < 2:
        return float("nan")
    sb = (between.gram - np.outer(between.total, between.total) / n) / (n - 1)
    sw = within.gram / (n * (q - 1)) + delta * np.eye(d)
    if np.trace(sb) <= CONSTANT_SHARE * np.trace(within.gram) or not sb.any():
        return 0.0
    try:
        # only the upper triangles hold sums
        values = _eigenvalues(sb, sw) if means is None else _eigenvalues_of_few(means, sw)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"lidar: delta = {delta:g} is lost beside the covariance within images (variance up "
            f"to {sw.max():.3g}); scale the features to about 1, or use a larger delta"
        ) from None
    values = np.maximum(values[: min(n - 1, d)], 0.0)
    p = values / values.sum() + eps
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def _eigenvalues(sb: NDArray[np.float64], sw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of Sw^-1/2 Sb Sw^-1/2, descending."""
    from scipy.linalg import eigh

    values: NDArray[np.float64] = eigh(sb, sw, lower=False, eigvals_only=True, check_finite=False)[
        ::-1
    ]
    return values


def _eigenvalues_of_few(means: NDArray[np.float64], sw: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same from the n means whose covariance is Sb: the others are 0.

    With M the centred means, M Sw^-1 M^T / (n - 1) [n, n] has the same eigenvalues.
    """
    from scipy.linalg import cholesky, eigh, solve_triangular

    centred = means - means.mean(axis=0)
    factor = cholesky(sw, lower=False, check_finite=False)
    white = solve_triangular(factor, centred.T, trans="T", lower=False, check_finite=False)
    gram = white.T @ white / (len(means) - 1)
    values: NDArray[np.float64] = eigh(gram, eigvals_only=True, check_finite=False)[::-1]
    return values


SCORE = RowScore(
    compute=compute_lidar,
    views=True,
    higher_is_better=True,
    options={"delta": 1e-4, "eps": 1e-8},
    source="Thilak et al. 2024",
)
