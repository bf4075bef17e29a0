"""The spectrum of rows that are all at hand, without a Gram matrix for each jackknife block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.gram import Spectra, Sums, finite, spectra_of_products
from jessl.scores.gram.row_norms import histogram
from jessl.scores.rows import as_rows, on_cuda

# the Gram matrices of all blocks are kept up to this size; beyond, each is made again when wanted
_KEPT = 2**30


def spectra_of(z: Any) -> Spectra:
    """Both spectra of [n, d] rows: `.raw` and `.centred`, [min(n, d)] each, largest first.

    Args:
        z: array, tensor or Embeddings; with n < d no [d, d] matrix is made.

    Raises:
        ValueError: for NaN or infinite rows (counted) or another shape.
    """
    rows = as_rows(z)
    return HeldRows(rows, np.zeros(len(rows), np.int64), 0).spectra()


class HeldRows:
    """Both spectra of rows [n, d], of all of them or without a block.

    The [n, n] matrix of inner products where n < d, else Gram matrices. Memory beside the rows:
    8 min(n, d)^2 bytes, three times for each deletion under way; for n < d the rows in float64
    while the products are made; for n >= d the sums of the blocks where they are under 1 GiB,
    otherwise those of a block are made again for its deletion.

    Args:
        rows: as `as_rows` gives them.
        block: int64 [n], the block of each row, 0 .. blocks-1.
        blocks: 0 for none.
    """

    def __init__(self, rows: Any, block: NDArray[np.int64], blocks: int) -> None:
        n, d = rows.shape
        self._rows, self._block = rows, block
        self.counts = np.bincount(block, minlength=blocks) if blocks else np.array([], np.int64)
        self._products: NDArray[np.float64] | None = None
        self._parts: list[Sums] | None = None
        if n < d:
            held = np.asarray(rows.cpu().numpy() if on_cuda(rows) else rows, np.float64)
            self._products = held @ held.T
            return
        if blocks and 8 * d**2 * (blocks + 1) <= _KEPT:
            self._parts = [self._sums_of(b) for b in range(blocks)]
            self._whole = self._parts[0]
            for part in self._parts[1:]:
                self._whole = self._whole + part
        else:
            self._whole = Sums.empty(d)
            self._whole.add(rows)

    def spectra(self, without: int | None = None) -> Spectra:
        """Of all rows, or of those outside of the block `without`."""
        if self._products is not None:
            if without is None:
                return spectra_of_products(self._products)
            keep = np.flatnonzero(self._block != without)
            return spectra_of_products(self._products[np.ix_(keep, keep)])
        if without is None:
            return self._whole.spectra()
        part = self._sums_of(without) if self._parts is None else self._parts[without]
        return self._whole.less(part, lambda: self._sums_of(without, inside=False)).spectra()

    def lengths(self) -> NDArray[np.int64]:
        """Histogram of the rows' squared lengths (`jessl.scores.gram.row_norms.histogram`)."""
        return histogram(self._rows)

    def scatter(self) -> tuple[float, float]:
        """Sum of squares of all entries: of the rows, and of the rows minus their mean."""
        if self._products is None:
            return self._whole.scatter()
        raw = finite(float(np.trace(self._products)))
        return raw, max(0.0, raw - float(self._products.mean(axis=0).sum()))

    def _sums_of(self, block: int, *, inside: bool = True) -> Sums:
        part = Sums.empty(self._rows.shape[1])
        part.add(self._rows, np.flatnonzero((self._block == block) == inside))
        return part
