"""Sums over rows from which both their spectra follow, of the rows and of the centred rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.lapack import of_tridiagonal, tridiagonal
from jessl.scores.rows import on_cuda

# centred variance below this share of the mean square is rounding of float32 features
CONSTANT = 1e-13
# numbers that a chunk of rows holds while it is float64: 16 MiB, 4 to 10 % faster than 32 MiB
_CHUNK = 2**21
# share of the squares below which what is left of a difference is taken anew
_CANCELS = 1e-6


class Spectra(NamedTuple):
    """Eigenvalues of two Gram matrices, [min(n, d)] each, largest first, clamped only at 0."""

    raw: NDArray[np.float64]
    centred: NDArray[np.float64]


class Sums:
    """Gram matrix, sum and count of rows in float64; sums add and subtract. Memory: 8 d^2 bytes.

    Only the upper triangle of `gram` is kept up to date: all that is written and read.
    """

    __slots__ = ("count", "gram", "total")

    def __init__(self, gram: NDArray[np.float64], total: NDArray[np.float64], count: int) -> None:
        self.gram, self.total, self.count = gram, total, count

    @classmethod
    def empty(cls, d: int) -> Sums:
        """Of no rows yet."""
        return cls(np.zeros((d, d)), np.zeros(d), 0)

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.gram + other.gram, self.total + other.total, self.count + other.count)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.gram - other.gram, self.total - other.total, self.count - other.count)

    def add(self, rows: Any, index: NDArray[np.int64] | None = None) -> None:
        """Add rows [n, d], or those of them that `index` names: finite numpy or a CUDA tensor."""
        step = max(1, _CHUNK // len(self.total))
        n = len(rows) if index is None else len(index)
        chunks = (slice(start, start + step) for start in range(0, n, step))
        parts = (rows[part] if index is None else rows[index[part]] for part in chunks)
        (self._add_on_cuda if on_cuda(rows) else self._add_on_cpu)(parts)
        self.count += n

    def _add_on_cpu(self, parts: Iterable[NDArray[Any]]) -> None:
        from scipy.linalg.blas import dsyrk

        for part in parts:
            chunk = np.ascontiguousarray(part, np.float64)
            # the transposed views are in BLAS's own order: dsyrk adds in place and copies nothing
            dsyrk(1.0, chunk.T, beta=1.0, c=self.gram.T, lower=1, overwrite_c=1)
            self.total += chunk.sum(axis=0)

    def _add_on_cuda(self, parts: Iterable[Any]) -> None:
        gram = total = 0.0
        for part in parts:  # summed where the rows are: what crosses the bus is one matrix
            chunk = part.double()
            gram, total = gram + chunk.T @ chunk, total + chunk.sum(dim=0)
        if not isinstance(gram, float):
            self.gram += gram.cpu().numpy()
            self.total += total.cpu().numpy()

    def less(self, part: Sums, others: Callable[[], Sums]) -> Sums:
        """These sums without those of `part`; by `others` where the difference loses digits."""
        rest = self - part
        whole = float(np.trace(self.gram))
        return rest if float(np.trace(rest.gram)) > _CANCELS * whole else others()

    def scatter(self) -> tuple[float, float]:
        """Sum of squares of all entries: of the rows, and of the rows minus their mean.

        Raises:
            ValueError: when there are no rows, or when squares overflow.
        """
        if self.count < 1:
            raise ValueError("Spectrum: no rows yet")
        raw = finite(float(np.trace(self.gram)))
        length = _length(self.total)
        return raw, max(0.0, raw - length / self.count * length)

    def spectra(self) -> Spectra:
        """Both spectra, for the price of one.

        The mean is turned into the first axis before the matrix is made tridiagonal; the steps
        that follow leave that axis alone, so that subtracting the mean's part changes one entry
        of the tridiagonal matrix. Centred eigenvalues are all zero where the centred rows are
        constant up to the rounding of float32.
        """
        raw, centred = self.scatter()
        k = min(self.count, len(self.total))
        if raw == 0:
            return Spectra(np.zeros(k), np.zeros(k))
        length = _length(self.total)
        turned, scale = _turned(self.gram, self.total / length if length else None)
        diagonal, off = tridiagonal(turned)
        whole = largest(of_tridiagonal(diagonal, off), k) * scale
        if centred <= CONSTANT * raw:
            return Spectra(whole, np.zeros(k))
        diagonal[0] -= length / self.count * (length / scale)
        rest = largest(of_tridiagonal(diagonal, off), k) * scale
        if self.count <= len(self.total):
            rest[-1] = 0.0  # n centred rows span n - 1 directions; rounding would count one more
        return Spectra(whole, rest)


def spectra_of_products(products: NDArray[np.float64]) -> Spectra:
    """Both spectra of n rows from their inner products [n, n], which are not changed."""
    n = len(products)
    raw = finite(float(np.trace(products)))
    if raw == 0:
        return Spectra(np.zeros(n), np.zeros(n))
    turned, scale = _turned(products, np.full(n, n**-0.5))
    diagonal, off = tridiagonal(turned)
    whole = largest(of_tridiagonal(diagonal, off), n) * scale
    if diagonal[1:].sum() * scale <= CONSTANT * raw:
        return Spectra(whole, np.zeros(n))
    # centring takes the direction (1, ..., 1), now the first axis, away
    rest = largest(of_tridiagonal(diagonal[1:], off[1:]), n - 1) * scale
    return Spectra(whole, np.append(rest, 0.0))


def _turned(
    upper: NDArray[np.float64], axis: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], float]:
    """The matrix (its upper triangle) over a power of two near its trace, in a basis whose first
    vector is +-axis (unit, [d]): a Householder reflection. In Fortran order, lower triangle.
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


def _length(total: NDArray[np.float64]) -> float:
    """The norm of a vector whose squares may overflow."""
    top = float(np.abs(total).max())
    return top * float(np.linalg.norm(total / top)) if top else 0.0


def largest(ascending: NDArray[Any], k: int) -> NDArray[np.float64]:
    """The k largest of ascending eigenvalues, largest first, clamped at 0."""
    return np.maximum(ascending[::-1][:k], 0.0)


def finite(trace: float) -> float:
    """`trace`, or a ValueError when squares overflowed."""
    if not np.isfinite(trace):
        raise ValueError("z: values so large that their squares overflow float64; rescale them")
    return trace
