"""The state that all spectral scores share: mergeable sums from which the spectrum follows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.scores.rankme import rankme_of
from jessl.scores.rows import as_ids, as_rows, block_of, on_cuda

# centred variance below this share of the mean square is rounding of float32 features
CONSTANT = 1e-13


class Spectrum:
    """float64 sums over rows: Gram matrix, sum and count, for each jackknife block.

    Rows arrive in any order, chunks and processes; two states add up. Memory: 8 d^2 bytes for
    each block (d = 2048: 32 MiB; with 20 blocks 640 MiB). The Gram matrix is float64 because a
    float32 one makes RankMe up to 3 % wrong.

    Args:
        d: features of a row.
        blocks: jackknife blocks, 0 for none. A row's block is a seeded hash of its id.
        seed: of that hash.

    Raises:
        ValueError: for d below 1, or for blocks below 0 or equal to 1.
    """

    def __init__(self, d: int, *, blocks: int = 0, seed: int = 0) -> None:
        if d < 1:
            raise ValueError(f"d: needs at least 1 feature, got {d}")
        if blocks < 0 or blocks == 1:
            raise ValueError(f"blocks: needs 0 or at least 2, got {blocks}")
        self.d, self.blocks, self.seed = d, blocks, seed
        parts = max(blocks, 1)
        # only the lower triangles are kept up to date: all that dsyrk writes and eigvalsh reads
        self._gram = np.zeros((parts, d, d))
        self._sum = np.zeros((parts, d))
        self._count = np.zeros(parts, np.int64)
        self._whole: NDArray[np.float64] | None = None

    @property
    def n(self) -> int:
        """Rows seen so far."""
        return int(self._count.sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each block, int64 [blocks] ([1] without blocks)."""
        return self._count.copy()

    def update(self, z: Any, ids: Any = None) -> Spectrum:
        """Add the rows of `z` and return the state. Large chunks are cheapest: a call costs at
        least blocks * d^2 operations. A CUDA tensor is summed on its device.

        Args:
            z: [n, d] array, tensor or Embeddings.
            ids: [n] whole numbers that name the rows; None: the running row numbers (those of
                the Embeddings where z is one).

        Raises:
            ValueError: for another d, and for NaN or infinities (counted).
        """
        if ids is None and hasattr(z, "ids"):
            ids = z.ids
        rows = as_rows(z)
        if rows.shape[1] != self.d:
            raise ValueError(f"z: needs {self.d} features, got {rows.shape[1]}")
        n = len(rows)
        names = np.arange(self.n, self.n + n) if ids is None else as_ids(ids, n)
        self._whole = None
        if not self.blocks:
            self._add(0, rows, np.arange(n))
            return self
        which = block_of(names, self.blocks, self.seed)
        for block in range(self.blocks):
            self._add(block, rows, np.flatnonzero(which == block))
        return self

    def merge(self, other: Spectrum) -> Spectrum:
        """Add another state to this one and return this one.

        Raises:
            ValueError: when d, blocks or seed differ.
        """
        for name in ("d", "blocks", "seed"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"other: needs {name} = {mine}, got {theirs}")
        self._gram += other._gram
        self._sum += other._sum
        self._count += other._count
        self._whole = None
        return self

    def all_reduce(self) -> Spectrum:
        """Replace the state of every process by the sum over all processes and return it.

        To be called once, after the last update, by every process; d, blocks and seed must be
        the same everywhere. The identity where torch.distributed is not initialised.
        """
        import torch
        from torch import distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            return self
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        for mine in (self._gram, self._sum, self._count):
            tensor = torch.from_numpy(mine).to(device)
            distributed.all_reduce(tensor)
            mine[...] = tensor.cpu().numpy()
        self._whole = None
        return self

    def eigenvalues(
        self, *, center: bool = False, without: int | None = None
    ) -> NDArray[np.float64]:
        """Eigenvalues of the Gram matrix (squared singular values of the rows), largest first.

        Args:
            center: of the rows minus their mean.
            without: leave out this block.

        Returns:
            float64 [min(n, d)]: exactly as many, clamped only at 0 (eps of RankMe enters once for
            each, and a higher floor would bias it). All zero when the centred rows are constant
            up to the rounding of float32.

        Raises:
            ValueError: when there are no rows, or when squares overflow float64.
        """
        gram, total, count = self._parts(without)
        raw, centred = _scatter(gram, total, count)
        if center:
            if centred <= CONSTANT * raw:
                return np.zeros(min(count, self.d))
            gram = gram - np.outer(total, total / count)
        return largest(np.linalg.eigvalsh(gram), min(count, self.d))

    def scatter(self) -> tuple[float, float]:
        """Sum of squares of all entries: of the rows, and of the rows minus their mean."""
        return _scatter(*self._parts(None))

    def rankme(self, *, eps: float = 1e-7, center: bool = False) -> float:
        """RankMe of the rows seen so far; see `jessl.rankme`."""
        return rankme_of(self.eigenvalues(center=center), eps=eps)

    def _parts(self, without: int | None) -> tuple[NDArray[Any], NDArray[Any], int]:
        if self._whole is None:
            self._whole = self._gram.sum(axis=0) if self.blocks else self._gram[0]
        gram, total, count = self._whole, self._sum.sum(axis=0), self.n
        if without is not None:
            if not 0 <= without < self.blocks:
                raise ValueError(f"without: allowed are 0 .. {self.blocks - 1}, got {without}")
            gram = gram - self._gram[without]
            total = total - self._sum[without]
            count -= int(self._count[without])
        if count < 1:
            raise ValueError("Spectrum: no rows yet")
        return gram, total, count

    def _add(self, block: int, rows: Any, index: NDArray[np.int64]) -> None:
        step = max(1, 2**22 // self.d)
        add = self._add_on_cuda if on_cuda(rows) else self._add_on_cpu
        for start in range(0, len(index), step):
            add(block, rows, index[start : start + step])
        self._count[block] += len(index)

    def _add_on_cpu(self, block: int, rows: NDArray[Any], index: NDArray[np.int64]) -> None:
        from scipy.linalg.blas import dsyrk

        run = index[-1] - index[0] + 1 == len(index)
        chunk = rows[index[0] : index[-1] + 1] if run else rows[index]
        chunk = np.ascontiguousarray(chunk, np.float64)
        # the transposed views are in BLAS's own order: dsyrk adds in place and copies nothing
        dsyrk(1.0, chunk.T, beta=1.0, c=self._gram[block].T, lower=0, overwrite_c=1)
        self._sum[block] += chunk.sum(axis=0)

    def _add_on_cuda(self, block: int, rows: Any, index: NDArray[np.int64]) -> None:
        import torch

        chunk = rows[torch.from_numpy(index).to(rows.device)].double()
        self._gram[block] += (chunk.T @ chunk).cpu().numpy()
        self._sum[block] += chunk.sum(dim=0).cpu().numpy()


def largest(ascending: NDArray[Any], k: int) -> NDArray[np.float64]:
    """The k largest of ascending eigenvalues, largest first, clamped at 0."""
    return np.maximum(ascending[::-1][:k], 0.0)


def _scatter(
    gram: NDArray[np.float64], total: NDArray[np.float64], count: int
) -> tuple[float, float]:
    raw = finite(float(np.trace(gram)))
    return raw, max(0.0, raw - float(total @ total) / count)


def finite(trace: float) -> float:
    """`trace`, or a ValueError when squares overflowed."""
    if not np.isfinite(trace):
        raise ValueError("z: values so large that their squares overflow float64; rescale them")
    return trace
