"""Gram matrices of rows, and the spectra of the rows and of the centred rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.lapack import tridiagonal_eigenvalues, tridiagonalise
from jessl.scores.rows import Rows, is_cuda_tensor, to_numpy

if TYPE_CHECKING:
    import torch

# centred variance below this share of the mean square is rounding of float32 features
CONSTANT_SHARE = 1e-13
# numbers in a chunk of rows in float64: 16 MiB, 4 to 10 % faster than 32 MiB
_CHUNK_ENTRIES = 2**21
# a difference below this share of the squares has lost digits and is summed again
_CANCELLATION_SHARE = 1e-6


class Spectra(NamedTuple):
    """Eigenvalues of two Gram matrices, [min(n, d)] each, largest first, clamped only at 0."""

    raw: NDArray[np.float64]
    centred: NDArray[np.float64]


class RowSums:
    """Gram matrix, sum and count of rows in float64; sums add and subtract. Memory: 8 d^2 bytes.

    Only the upper triangle of `gram` is written and read.
    """

    __slots__ = ("count", "gram", "total")

    def __init__(self, gram: NDArray[np.float64], total: NDArray[np.float64], count: int) -> None:
        self.gram, self.total, self.count = gram, total, count

    @classmethod
    def empty(cls, d: int) -> RowSums:
        """The sums of no rows."""
        return cls(np.zeros((d, d)), np.zeros(d), 0)

    def __add__(self, other: RowSums) -> RowSums:
        return RowSums(self.gram + other.gram, self.total + other.total, self.count + other.count)

    def __sub__(self, other: RowSums) -> RowSums:
        return RowSums(self.gram - other.gram, self.total - other.total, self.count - other.count)

    def add(self, rows: Rows, index: NDArray[np.int64] | None = None) -> None:
        """Add finite rows [n, d], or the rows `index` of them."""
        step = max(1, _CHUNK_ENTRIES // len(self.total))
        n = len(rows) if index is None else len(index)
        chunks = (slice(start, start + step) for start in range(0, n, step))
        which = (part if index is None else index[part] for part in chunks)
        if is_cuda_tensor(rows):
            self._add_on_cuda(rows[part] for part in which)
        else:
            x = to_numpy(rows)
            self._add_on_cpu(x[part] for part in which)
        self.count += n

    def _add_on_cpu(self, parts: Iterable[NDArray[np.floating]]) -> None:
        from scipy.linalg.blas import dsyrk

        for part in parts:
            chunk = np.ascontiguousarray(part, np.float64)
            # transposed views have BLAS's memory order: dsyrk adds in place without a copy
            dsyrk(1.0, chunk.T, beta=1.0, c=self.gram.T, lower=1, overwrite_c=1)
            self.total += chunk.sum(axis=0)

    def _add_on_cuda(self, parts: Iterable[torch.Tensor]) -> None:
        # summed on the device, so that one matrix only crosses the bus
        gram: torch.Tensor | float = 0.0
        total: torch.Tensor | float = 0.0
        for part in parts:
            chunk = part.double()
            gram, total = gram + chunk.T @ chunk, total + chunk.sum(dim=0)
        if not isinstance(gram, float) and not isinstance(total, float):
            self.gram += gram.cpu().numpy()
            self.total += total.cpu().numpy()

    def without(self, part: RowSums, recompute: Callable[[], RowSums]) -> RowSums:
        """These sums less those of `part`; `recompute` where the difference loses digits."""
        rest = self - part
        whole = float(np.trace(self.gram))
        return rest if float(np.trace(rest.gram)) > _CANCELLATION_SHARE * whole else recompute()

    def scatter(self) -> tuple[float, float]:
        """Sum of squares of all entries: of the rows, and of the rows minus their mean.

        Raises:
            ValueError: without rows, or when squares overflow.
        """
        if self.count < 1:
            raise ValueError("Spectrum: no rows yet")
        raw = check_trace(float(np.trace(self.gram)))
        length = _norm(self.total)
        return raw, max(0.0, raw - length / self.count * length)

    def spectra(self) -> Spectra:
        """Both spectra at the cost of one.

        The mean is rotated to the first axis before the matrix is made tridiagonal. The following
        steps leave that axis unchanged, so subtracting the mean changes a single entry of the
        tridiagonal matrix. Centred eigenvalues are all zero where the centred rows are
        constant up to the rounding of float32.
        """
        raw, centred = self.scatter()
        k = min(self.count, len(self.total))
        if raw == 0:
            return Spectra(np.zeros(k), np.zeros(k))
        length = _norm(self.total)
        rotated, scale = _rotate_to_first_axis(self.gram, self.total / length if length else None)
        diagonal, off = tridiagonalise(rotated)
        whole = largest_first(tridiagonal_eigenvalues(diagonal, off), k) * scale
        if centred <= CONSTANT_SHARE * raw:
            return Spectra(whole, np.zeros(k))
        diagonal[0] -= length / self.count * (length / scale)
        rest = largest_first(tridiagonal_eigenvalues(diagonal, off), k) * scale
        if self.count <= len(self.total):
            rest[-1] = 0.0  # n centred rows span n - 1 directions; rounding adds one more
        return Spectra(whole, rest)


def spectra_from_inner_products(products: NDArray[np.float64]) -> Spectra:
    """Both spectra of n rows from their inner products [n, n], which stay unchanged."""
    n = len(products)
    raw = check_trace(float(np.trace(products)))
    if raw == 0:
        return Spectra(np.zeros(n), np.zeros(n))
    rotated, scale = _rotate_to_first_axis(products, np.full(n, n**-0.5))
    diagonal, off = tridiagonalise(rotated)
    whole = largest_first(tridiagonal_eigenvalues(diagonal, off), n) * scale
    if diagonal[1:].sum() * scale <= CONSTANT_SHARE * raw:
        return Spectra(whole, np.zeros(n))
    # centring removes the direction (1, ..., 1), now the first axis
    rest = largest_first(tridiagonal_eigenvalues(diagonal[1:], off[1:]), n - 1) * scale
    return Spectra(whole, np.append(rest, 0.0))


def _rotate_to_first_axis(
    upper: NDArray[np.float64], axis: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], float]:
    """The matrix in a basis whose first vector is +-axis (unit, [d]), and its scale.

    A Householder reflection of the upper triangle divided by a power of two near its trace. The
    result is in Fortran order, lower triangle.
    """
    from scipy.linalg.blas import dsymv, dsyr2

    scale = math.ldexp(1.0, math.frexp(float(np.trace(upper)))[1] - 1)
    a = np.array((upper / scale).T, order="F", copy=None)
    if axis is None:
        return a, scale
    w = axis.copy()
    w[0] += math.copysign(1.0, w[0])
    w /= np.linalg.norm(w)
    p = dsymv(2.0, a, w, lower=1)
    p -= float(w @ p) * w
    return dsyr2(-1.0, w, p, a=a, lower=1, overwrite_a=1), scale


def _norm(total: NDArray[np.float64]) -> float:
    """The norm of a vector whose squares may overflow."""
    top = float(np.abs(total).max())
    return top * float(np.linalg.norm(total / top)) if top else 0.0


def largest_first(ascending: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The k largest of ascending eigenvalues, largest first, clamped at 0."""
    return np.maximum(ascending[::-1][:k], 0.0)


def check_trace(trace: float) -> float:
    """`trace`; a ValueError when squares overflowed."""
    if not np.isfinite(trace):
        raise ValueError("z: values so large that their squares overflow float64; rescale them")
    return trace
