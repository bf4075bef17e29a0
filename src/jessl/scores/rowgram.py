"""The spectrum of rows that are all at hand and fewer than their features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.scores.rows import block_of
from jessl.scores.spectrum import CONSTANT, finite, largest


class RowGram:
    """The same answers from the [n, n] Gram matrix of rows at hand: cheaper when n < d."""

    def __init__(
        self, z: NDArray[Any], *, blocks: int = 0, ids: NDArray[Any] | None = None, seed: int = 0
    ) -> None:
        rows = np.asarray(z, np.float64)
        self._gram = rows @ rows.T
        names = np.arange(len(rows)) if ids is None else ids
        self._block = block_of(names, blocks, seed) if blocks else np.zeros(len(rows), np.int64)
        self.counts = np.bincount(self._block, minlength=max(blocks, 1))

    def eigenvalues(
        self, *, center: bool = False, without: int | None = None
    ) -> NDArray[np.float64]:
        """As Spectrum.eigenvalues."""
        keep = np.flatnonzero(self._block != (-1 if without is None else without))
        gram = self._gram[np.ix_(keep, keep)]
        raw = finite(float(np.trace(gram)))
        if center:
            gram = gram - gram.mean(axis=0)
            gram -= gram.mean(axis=1, keepdims=True)
            if np.trace(gram) <= CONSTANT * raw:
                return np.zeros(len(keep))
        return largest(np.linalg.eigvalsh(gram), len(keep))

    def scatter(self) -> tuple[float, float]:
        """As Spectrum.scatter."""
        raw = finite(float(np.trace(self._gram)))
        return raw, max(0.0, raw - float(self._gram.mean(axis=0).sum()))
