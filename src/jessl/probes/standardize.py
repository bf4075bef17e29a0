"""Standardisation of features, and their principal axes."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from jessl.probes.base import Features

# rows standardised at a time
CHUNK = 16_384
# features above this many bytes are standardised again in every pass instead of being stored
HELD_BYTES = 2**31


def mean_and_scale(x: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the columns in float64, 1 for constant columns.

    Memory is that of `CHUNK` rows in float64, whatever the number of rows.
    """
    mean = column_sums(x) / max(1, len(x))
    return mean, scale_of(column_sums(x, mean) / max(1, len(x)), mean)


def column_sums(x: Features, mean: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Sums of the columns; with a mean, of their squared distances from it."""
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        total += (
            part.sum(axis=0, dtype=np.float64) if mean is None else ((part - mean) ** 2).sum(axis=0)
        )
        release_pages(x)
    return total


def scale_of(variance: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of the columns, 1 for constant ones."""
    scale = np.sqrt(variance)
    # float32 rounding of the values gives a constant column a tiny spread of its own
    return np.where(scale > 1e-6 * np.abs(mean), scale, 1.0)


def standardise(
    x: Features,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    dtype: DTypeLike = np.float32,
) -> Features:
    """(x - mean) / scale, computed in float64 and stored as `dtype`."""
    z = np.empty(x.shape, dtype)
    for start in range(0, len(x), CHUNK):
        z[start : start + CHUNK] = (x[start : start + CHUNK] - mean) / scale
    return z


def release_pages(x: Features) -> None:
    """Release the pages of a memory map that were read, where the system supports it.

    They would otherwise count as memory of this process.
    """
    base: object = x
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


class StandardisedRows:
    """Standardised features that are read in chunks, and held in memory where they are small
    enough.

    Args:
        x: [n, d] features, an array or a memory map; it is not modified.
        dtype: of the chunks.
        by: mean and standard deviation; None: those of x.

    Attributes:
        mean, scale: float64 [d] of the standardisation.
    """

    def __init__(
        self,
        x: Features,
        dtype: DTypeLike = np.float32,
        by: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> None:
        self.mean, self.scale = mean_and_scale(x) if by is None else by
        self.dtype = np.dtype(dtype)
        self.shape = x.shape
        self._x = x
        held = x.size * self.dtype.itemsize <= HELD_BYTES
        self._z = standardise(x, self.mean, self.scale, dtype) if held else None

    def __len__(self) -> int:
        return len(self._x)

    def chunk(self, start: int, stop: int) -> Features:
        """Rows start .. stop-1, standardised."""
        if self._z is not None:
            return self._z[start:stop]
        z = standardise(self._x[start:stop], self.mean, self.scale, self.dtype)
        release_pages(self._x)
        return z

    def chunks(self, size: int) -> Iterator[tuple[slice, Features]]:
        """(slice, its rows) in order, `size` rows at a time."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield slice(start, stop), self.chunk(start, stop)


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Principal axes of standardised features.

    Attributes:
        basis: [d, r] orthonormal columns; r is d, or n where n < d (all rows lie in their span).
        variances: float64 [r], at least 0: the mean square of the rows along each axis.
    """

    basis: Features
    variances: NDArray[np.float64]


def principal_axes(rows: StandardisedRows) -> PrincipalAxes:
    """The principal axes of all rows, about zero, which is their mean.

    Time n d min(n, d), memory min(n, d)^2 beside a chunk; sums are float64 where the chunks are.
    """
    n, d = rows.shape
    if n < d:
        z = rows.chunk(0, n)
        values, vectors = np.linalg.eigh((z @ z.T).astype(np.float64))
        # drop axes along which no row extends
        nonzero = values > max(values[-1], 0.0) * 1e-12 if len(values) else values > 0
        if not nonzero.any():
            return PrincipalAxes(np.eye(d, 1, dtype=rows.dtype), np.zeros(1))
        basis = z.T @ (vectors[:, nonzero] / np.sqrt(values[nonzero])).astype(rows.dtype)
        return PrincipalAxes(basis, values[nonzero] / n)
    gram = np.zeros((d, d))
    for _, z in rows.chunks(CHUNK):
        gram += z.T @ z
    values, vectors = np.linalg.eigh(gram)
    return PrincipalAxes(vectors.astype(rows.dtype), np.maximum(values, 0.0) / n)
