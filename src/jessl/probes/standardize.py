"""Features made ready for linear probes: standardised, and turned into their principal axes."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# rows that are standardised at a time
CHUNK = 16_384
# features above this many bytes are standardised anew in every pass, not kept standardised
HELD_BYTES = 2**31


def standardisation(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the columns in float64, 1 for constant columns.

    Memory is that of `CHUNK` rows in float64, whatever the number of rows.
    """
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), CHUNK):
        total += x[start : start + CHUNK].sum(axis=0, dtype=np.float64)
        release(x)
    mean = total / max(1, len(x))
    squares = np.zeros(x.shape[1])
    for start in range(0, len(x), CHUNK):
        squares += ((x[start : start + CHUNK] - mean) ** 2).sum(axis=0)
        release(x)
    scale = np.sqrt(squares / max(1, len(x)))
    # float32 rounding of the values gives a constant column a tiny spread of its own
    return mean, np.where(scale > 1e-6 * np.abs(mean), scale, 1.0)


def standardised(
    x: NDArray[Any],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    dtype: Any = np.float32,
) -> NDArray[Any]:
    """(x - mean) / scale, computed in float64 and kept as `dtype`."""
    z = np.empty(x.shape, dtype)
    for start in range(0, len(x), CHUNK):
        z[start : start + CHUNK] = (x[start : start + CHUNK] - mean) / scale
    return z


def release(x: NDArray[Any]) -> None:
    """Let go of the pages of a memory map that were read, where the system can be told so.

    They would count as this process's memory although the file has them.
    """
    base: Any = x
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


class Rows:
    """Standardised features that are read in chunks, from memory where they fit into it.

    Args:
        x: [n, d] features, an array or a memory map; it is not written into.
        dtype: of the chunks.

    Attributes:
        mean, scale: float64 [d] of the standardisation.
    """

    def __init__(self, x: NDArray[Any], dtype: Any = np.float32) -> None:
        self.mean, self.scale = standardisation(x)
        self.dtype = np.dtype(dtype)
        self.shape = x.shape
        self._x = x
        held = x.size * self.dtype.itemsize <= HELD_BYTES
        self._z = standardised(x, self.mean, self.scale, dtype) if held else None

    def __len__(self) -> int:
        return self.shape[0]

    def chunk(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start .. stop-1, standardised."""
        if self._z is not None:
            return self._z[start:stop]
        z = standardised(self._x[start:stop], self.mean, self.scale, self.dtype)
        release(self._x)
        return z

    def chunks(self, size: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        """(which rows, the rows) in order, `size` at a time."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield slice(start, stop), self.chunk(start, stop)


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of standardised features.

    Attributes:
        basis: [d, r] orthonormal columns; r is d, or n where n < d (all rows lie in their span).
        variances: float64 [r], >= 0: the mean square of the rows along each axis.
    """

    basis: NDArray[Any]
    variances: NDArray[np.float64]


def principal_axes(rows: Rows) -> Axes:
    """The axes of all rows, around zero (which is their mean).

    Time n d min(n, d), memory min(n, d)^2 beside a chunk; sums are float64 where the chunks are.
    """
    n, d = rows.shape
    if n < d:
        z = rows.chunk(0, n)
        values, vectors = np.linalg.eigh((z @ z.T).astype(np.float64))
        # axes without spread carry nothing of any row
        kept = values > max(values[-1], 0.0) * 1e-12 if len(values) else values > 0
        if not kept.any():
            return Axes(np.eye(d, 1, dtype=rows.dtype), np.zeros(1))
        basis = z.T @ (vectors[:, kept] / np.sqrt(values[kept])).astype(rows.dtype)
        return Axes(basis, values[kept] / n)
    gram = np.zeros((d, d))
    for _, z in rows.chunks(CHUNK):
        gram += z.T @ z
    values, vectors = np.linalg.eigh(gram)
    return Axes(vectors.astype(rows.dtype), np.maximum(values, 0.0) / n)
