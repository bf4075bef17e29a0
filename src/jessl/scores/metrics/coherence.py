"""Coherence: how much one row alone carries of a direction (Tsitsulin et al., arXiv 2305.16562)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult

# numbers that a chunk of rows holds while it is float64 (32 MiB)
_CHUNK = 2**22


def coherence_of(z: NDArray[Any], block: NDArray[np.int64] | None) -> RowScoreResult:
    """(n / r) max_i |U_i|^2, U [n, r] the left singular vectors of the matrix as it is.

    Tsitsulin, Munkhoeva and Perozzi, arXiv 2305.16562. Ours: r counts the singular values that are
    numerically not zero, those whose square is above max(n, d) * 2.2e-16 of the largest square; the
    authors' code counts min(n, d) of them always, which for a deficient rank lets arbitrary vectors
    in. From the float64 Gram matrix of the features (of the rows where n < d): within 1e-11 of a
    float64 SVD at a condition number of 1e3, 1e-7 at 1e5.

    From 1 (all rows carry the same) to n / r (a row has a direction for itself). Lower is better.
    Rotating or scaling the features, and permuting the rows, changes nothing. Time: two products
    n d^2 and an eigendecomposition d^3 (n = 25,600, d = 2048: 20 s on two shared cores); memory
    40 d^2 bytes and 64 MiB.

    What it gets wrong: constant features have the best value, 1, and so has every matrix of rank n
    (n <= d). One outlier decides it, and more rows bring more extreme ones: compare equal n only.
    Its authors call it the least stable of their scores.

    Args:
        z: [n, d].
        block: [n], or None; a maximum has no jackknife, so `deleted` is None.
    """
    n, d = z.shape
    top = float(np.abs(z).max())
    if top == 0:
        why = "all features are zero: the coherence is not defined"
        return RowScoreResult(value=math.nan, deleted=None, warnings=(why,))
    leverage, rank = _by_rows(z, top) if n < d else _by_features(z, top)
    warnings = []
    if rank == n:
        warnings.append(f"the rank is the number of rows, {n}: the value is 1 for any such matrix")
    elif rank == 1:
        warnings.append("the features have rank 1: collapsed features have a good coherence too")
    if block is not None:
        warnings.append("a maximum has no jackknife: there is no spread")
    value = n / rank * float(leverage.max())
    return RowScoreResult(value=value, deleted=None, warnings=tuple(warnings))


def _by_features(z: NDArray[Any], top: float) -> tuple[NDArray[np.float64], int]:
    """|U_i|^2 [n] and the rank: U = Z V / s, from Z^T Z = V s^2 V^T."""
    n, d = z.shape
    step = max(1, _CHUNK // d)
    gram = np.zeros((d, d))
    for start in range(0, n, step):
        x = np.asarray(z[start : start + step], np.float64) / top
        gram += x.T @ x
    squares, vectors = np.linalg.eigh(gram)
    kept = _not_zero(squares, n, d)
    basis = vectors[:, kept] / np.sqrt(squares[kept])
    leverage = np.empty(n)
    for start in range(0, n, step):
        x = np.asarray(z[start : start + step], np.float64) / top
        leverage[start : start + step] = ((x @ basis) ** 2).sum(axis=1)
    return leverage, int(kept.sum())


def _by_rows(z: NDArray[Any], top: float) -> tuple[NDArray[np.float64], int]:
    """|U_i|^2 [n] and the rank: U from Z Z^T = U s^2 U^T."""
    x = np.asarray(z, np.float64) / top
    squares, vectors = np.linalg.eigh(x @ x.T)
    kept = _not_zero(squares, *z.shape)
    return (vectors[:, kept] ** 2).sum(axis=1), int(kept.sum())


def _not_zero(squares: NDArray[np.float64], n: int, d: int) -> NDArray[np.bool_]:
    return squares > max(n, d) * np.finfo(np.float64).eps * squares[-1]


SCORE = RowScore(
    of=coherence_of,
    higher_is_better=False,
    source="Tsitsulin et al. 2023, arXiv 2305.16562",
)
