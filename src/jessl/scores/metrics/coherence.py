"""Coherence: the largest share of one row in a direction (Tsitsulin et al., arXiv 2305.16562)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult

# numbers in a chunk of rows in float64 (32 MiB)
_CHUNK = 2**22


def compute_coherence(z: NDArray[np.floating], block: NDArray[np.int64] | None) -> RowScoreResult:
    """(n / r) max_i |U_i|^2, U [n, r] the left singular vectors of the uncentred matrix.

    Tsitsulin, Munkhoeva and Perozzi, arXiv 2305.16562. Here r counts the singular values that
    are numerically not zero, those whose square is above max(n, d) * 2.2e-16 of the largest square;
    the authors' code always takes min(n, d), which for a deficient rank includes arbitrary vectors.
    From the float64 Gram matrix of the features (of the rows where n < d): within 1e-11 of a
    float64 SVD at a condition number of 1e3, 1e-7 at 1e5.

    From 1 (all rows contribute equally) to n / r (one row has a direction of its own). Lower is
    better. Rotating or scaling the features, and permuting the rows, changes nothing. Time: two
    products n d^2 and an eigendecomposition d^3 (n = 25,600, d = 2048: 20 s on two shared cores);
    memory 40 d^2 bytes and 64 MiB.

    Limits: constant features have the best value, 1, and so has every matrix of rank n (n <= d). A
    single outlier determines it, and more rows contain more extreme ones: compare equal n only. Its
    authors call it the least stable of their scores.

    Args:
        z: [n, d].
        block: [n], or None; a maximum has no jackknife, so `deleted` is None.
    """
    n, d = z.shape
    top = float(np.abs(z).max())
    if top == 0:
        why = "all features are zero: the coherence is not defined"
        return RowScoreResult(value=math.nan, deleted=None, warnings=(why,))
    leverage, rank = _leverage_by_rows(z, top) if n < d else _leverage_by_features(z, top)
    warnings = []
    if rank == n:
        warnings.append(f"the rank is the number of rows, {n}: the value is 1 for any such matrix")
    elif rank == 1:
        warnings.append("the features have rank 1: collapsed features have a good coherence too")
    if block is not None:
        warnings.append("a maximum has no jackknife: there is no spread")
    value = n / rank * float(leverage.max())
    return RowScoreResult(value=value, deleted=None, warnings=tuple(warnings))


def _leverage_by_features(z: NDArray[np.floating], top: float) -> tuple[NDArray[np.float64], int]:
    """|U_i|^2 [n] and the rank: U = Z V / s, from Z^T Z = V s^2 V^T."""
    n, d = z.shape
    step = max(1, _CHUNK // d)
    gram = np.zeros((d, d))
    for start in range(0, n, step):
        x = np.asarray(z[start : start + step], np.float64) / top
        gram += x.T @ x
    squares, vectors = np.linalg.eigh(gram)
    nonzero = _nonzero(squares, n, d)
    basis = vectors[:, nonzero] / np.sqrt(squares[nonzero])
    leverage = np.empty(n)
    for start in range(0, n, step):
        x = np.asarray(z[start : start + step], np.float64) / top
        leverage[start : start + step] = ((x @ basis) ** 2).sum(axis=1)
    return leverage, int(nonzero.sum())


def _leverage_by_rows(z: NDArray[np.floating], top: float) -> tuple[NDArray[np.float64], int]:
    """|U_i|^2 [n] and the rank: U from Z Z^T = U s^2 U^T."""
    x = np.asarray(z, np.float64) / top
    squares, vectors = np.linalg.eigh(x @ x.T)
    nonzero = _nonzero(squares, *z.shape)
    return (vectors[:, nonzero] ** 2).sum(axis=1), int(nonzero.sum())


def _nonzero(squares: NDArray[np.float64], n: int, d: int) -> NDArray[np.bool_]:
    nonzero: NDArray[np.bool_] = squares > max(n, d) * np.finfo(np.float64).eps * squares[-1]
    return nonzero


SCORE = RowScore(
    compute=compute_coherence,
    higher_is_better=False,
    source="Tsitsulin et al. 2023, arXiv 2305.16562",
)
