"""Spectra of rows that are all in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.gram import RowSums, Spectra, check_trace, spectra_from_inner_products
from jessl.scores.gram.row_norms import squared_norm_histogram
from jessl.scores.rows import Rows, as_rows, to_numpy

# Gram matrices of all blocks are held up to this size; above it each is computed when needed
_MOST_BLOCK_BYTES = 2**30


def compute_spectra(z: object) -> Spectra:
    """Both spectra of [n, d] rows: `.raw` and `.centred`, [min(n, d)] each, largest first.

    Args:
        z: array, tensor or Embeddings; with n < d no [d, d] matrix is allocated.

    Raises:
        ValueError: for NaN or infinite rows (counted) or another shape.
    """
    rows = as_rows(z)
    return InMemoryGram(rows, np.zeros(len(rows), np.int64), 0).spectra()


class InMemoryGram:
    """Both spectra of rows [n, d], of all rows or without a block.

    Holds the [n, n] matrix of inner products where n < d, else Gram matrices. Memory beside the
    rows: 8 min(n, d)^2 bytes, and three times as much for each block that is being left out; for
    n < d the rows in float64 while the products are computed; for n >= d the sums of the blocks
    where they take less than 1 GiB, otherwise the sums of a block are computed when it is left out.

    Args:
        rows: as `as_rows` returns them.
        block: int64 [n], the block of each row, 0 .. blocks-1.
        blocks: 0 for none.
    """

    def __init__(self, rows: Rows, block: NDArray[np.int64], blocks: int) -> None:
        n, d = rows.shape
        self._rows, self._block = rows, block
        self.counts = np.bincount(block, minlength=blocks) if blocks else np.array([], np.int64)
        self._products: NDArray[np.float64] | None = None
        self._parts: list[RowSums] | None = None
        if n < d:
            x = np.asarray(to_numpy(rows), np.float64)
            self._products = x @ x.T
            return
        if blocks and 8 * d**2 * (blocks + 1) <= _MOST_BLOCK_BYTES:
            self._parts = [self._sums_of(b) for b in range(blocks)]
            self._whole = self._parts[0]
            for part in self._parts[1:]:
                self._whole = self._whole + part
        else:
            self._whole = RowSums.empty(d)
            self._whole.add(rows)

    def spectra(self, without: int | None = None) -> Spectra:
        """Of all rows, or of those outside the block `without`."""
        if self._products is not None:
            if without is None:
                return spectra_from_inner_products(self._products)
            keep = np.flatnonzero(self._block != without)
            return spectra_from_inner_products(self._products[np.ix_(keep, keep)])
        if without is None:
            return self._whole.spectra()
        part = self._sums_of(without) if self._parts is None else self._parts[without]
        rest = self._whole.without(part, lambda: self._sums_of(without, inside=False))
        return rest.spectra()

    def norm_histogram(self) -> NDArray[np.int64]:
        """Histogram of the rows' squared lengths (see `row_norms.squared_norm_histogram`)."""
        return squared_norm_histogram(self._rows)

    def scatter(self) -> tuple[float, float]:
        """Sum of squares of all entries: of the rows, and of the rows minus their mean."""
        if self._products is None:
            return self._whole.scatter()
        raw = check_trace(float(np.trace(self._products)))
        return raw, max(0.0, raw - float(self._products.mean(axis=0).sum()))

    def _sums_of(self, block: int, *, inside: bool = True) -> RowSums:
        part = RowSums.empty(self._rows.shape[1])
        part.add(self._rows, np.flatnonzero((self._block == block) == inside))
        return part
