"""Batch buffers that are reused once their last tensor is gone."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class BufferPool:
    """Lends arrays of one shape; an array returns when its last tensor is gone.

    A new array costs page faults (0.4 ms for a view of 224 pixels), a reused one nothing. An array
    is never overwritten while a tensor still refers to it.

    Args:
        shape, dtype: of the arrays.
        pinned: page-locked memory, from which a GPU copies asynchronously.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: type[np.generic], *, pinned: bool = False
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.pinned = pinned
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()
        self.created = 0

    def lend(self) -> torch.Tensor:
        """A tensor on an array that nothing else uses; its values are undefined."""
        import torch

        with self._lock:
            array = self._free.pop() if self._free else self._new()
        # torch keeps `lent` alive for as long as any tensor shares the memory
        lent = array.view()
        weakref.finalize(lent, self._free.append, array).atexit = False
        return torch.from_numpy(lent)

    def _new(self) -> np.ndarray:
        self.created += 1
        if self.pinned:
            import torch

            blank = torch.from_numpy(np.empty(0, self.dtype))
            return torch.empty(self.shape, dtype=blank.dtype, pin_memory=True).numpy()
        return np.empty(self.shape, self.dtype)
