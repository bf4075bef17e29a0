"""Assembling one batch: reading its images and rendering their views into buffers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np

from jessl.data.decode.image import UnreadableImage
from jessl.data.sources.base import Source

if TYPE_CHECKING:
    import torch


class ViewRenderer(Protocol):
    """Samples parameters and renders views: see `jessl.views.apply.CpuRenderer`."""

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]: ...

    @property
    def dtype(self) -> type[np.generic]: ...

    def draw(
        self,
        table: np.ndarray,
        ids: np.ndarray,
        epoch: int,
        seed: int,
        sizes: np.ndarray,
        start: int,
        stop: int,
    ) -> None: ...

    def render(
        self, images: np.ndarray, first: int, table: np.ndarray, out: Sequence[np.ndarray]
    ) -> None: ...


@dataclass
class BatchBuffer:
    """A batch whose rows are filled by several threads, each row by one.

    Attributes:
        start: position of its first image in the order of the epoch.
        indices: int64 [n], the images it contains in the end; -1 where none could be read.
        ids, sizes, table: of these images: int64 [n], int64 [2, n] and float64 [k, n, columns].
        out: a tensor [n, c, size, size] for each view; empty where a GPU renders the views.
        arrays: numpy views of `out`.
    """

    start: int
    indices: np.ndarray
    ids: np.ndarray
    sizes: np.ndarray
    table: np.ndarray
    out: list[torch.Tensor]
    arrays: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arrays = [x.numpy() for x in self.out]

    def __len__(self) -> int:
        return len(self.indices)


class BatchFiller:
    """Reads images and renders their views into batches; called from many threads.

    Args:
        source: the images.
        renderer: renders their views.
        order: int64, the indices of this rank in the epoch.
        seed, epoch: of the parameters.
        unreadable: what to do about an image that cannot be read: "replace", "drop" or "raise".
        skipped: filled with the place of each unreadable image, and the reason.
        renders: False where a GPU that holds the images renders the views itself.
    """

    def __init__(
        self,
        source: Source,
        renderer: ViewRenderer,
        order: np.ndarray,
        *,
        seed: int,
        epoch: int,
        unreadable: str,
        skipped: dict[str, str],
        renders: bool = True,
    ) -> None:
        self.source = source
        self.renderer = renderer
        self.order = order
        self.seed = seed
        self.epoch = epoch
        self.unreadable = unreadable
        self.skipped = skipped
        self.renders = renders
        self._lock = threading.Lock()

    def fill(self, batch: BatchBuffer, start: int, stop: int) -> None:
        """Fill rows start..stop-1 of a batch."""
        indices = self.order[batch.start + start : batch.start + stop]
        images = self.source.rows(indices)
        if images is not None:
            batch.indices[start:stop] = indices
            batch.ids[start:stop] = self.source.ids[indices]
            batch.sizes[0, start:stop], batch.sizes[1, start:stop] = images.shape[1:3]
            self._draw(batch, start, stop)
            if self.renders:
                self.renderer.render(images, start, batch.table, batch.arrays)
            return
        for row in range(start, stop):
            readable = self._first_readable(batch.start + row, len(batch))
            if readable is None:
                continue
            index, image = readable
            batch.indices[row] = index
            batch.ids[row] = self.source.ids[index]
            batch.sizes[:, row] = image.shape[:2]
            self._draw(batch, row, row + 1)
            self.renderer.render(image[None], row, batch.table, batch.arrays)

    def _draw(self, batch: BatchBuffer, start: int, stop: int) -> None:
        self.renderer.draw(batch.table, batch.ids, self.epoch, self.seed, batch.sizes, start, stop)

    def _first_readable(self, position: int, batch_size: int) -> tuple[int, np.ndarray] | None:
        """The image at a position of the order or, when replacing, the first readable one after it.

        The same row of the following batches is tried first, so that no two rows of a batch are
        replaced by the same image while one of those can be read; then all others.
        """
        n = len(self.order)
        positions: Iterable[int] = (position,)
        if self.unreadable == "replace":
            same_row = range(position, position + n, batch_size)
            positions = chain(same_row, range(position + 1, position + n))
        for candidate in positions:
            index = int(self.order[candidate % n])
            try:
                return index, self.source.read(index)
            except UnreadableImage as error:
                if self.unreadable == "raise":
                    raise
                with self._lock:
                    self.skipped[error.where] = error.reason
        if self.unreadable == "replace":
            where, reason = next(iter(self.skipped.items()))
            raise ValueError(
                f"not one image of {self.source.name} can be read; the first: {where}: {reason}"
            )
        return None


def chunks(rows: int, workers: int, *, one_array: bool) -> list[tuple[int, int]]:
    """Divide the rows of a batch among threads: (start, stop) pairs.

    Images that are read one by one are dealt a few at a time, so that all threads end together;
    rows of one array in pieces large enough to make the call into compiled code cheap.
    """
    step = max(32, -(-rows // workers)) if one_array else max(1, min(8, rows // (4 * workers)))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]
