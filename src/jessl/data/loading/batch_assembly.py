"""One batch in the making: which images, what was drawn for them, and the buffers they fill."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jessl.data.decode.image import UnreadableImage
from jessl.data.sources.base import Source

if TYPE_CHECKING:
    import torch


class ViewRenderer(Protocol):
    """What a batch asks of a prepared recipe of views: see `jessl.views.apply.CpuRenderer`."""

    shapes: tuple[tuple[int, int, int], ...]
    dtype: Any

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
        place: of its first image in the order of the epoch.
        indices: int64 [n], the images that it has in the end; -1 where none could be read.
        ids, sizes, table: of these images: int64 [n], int64 [2, n] and float64 [k, n, columns].
        out: a tensor [n, c, size, size] for each view; none where a GPU makes the views.
    """

    place: int
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
    """Reads images and paints their views into batches; called from many threads.

    Args:
        source: the images.
        renderer: makes their views.
        order: int64, indices of the epoch as this rank sees it.
        seed, epoch: of the parameters.
        unreadable: what becomes of an image that cannot be read: "replace", "drop" or "raise".
        skipped: gets the place of each image that cannot be read, and the reason.
        painted: whether views are painted here; a GPU that holds the images paints them itself.
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
        painted: bool = True,
    ) -> None:
        self.source = source
        self.renderer = renderer
        self.order = order
        self.seed = seed
        self.epoch = epoch
        self.unreadable = unreadable
        self.skipped = skipped
        self.painted = painted
        self._lock = threading.Lock()

    def fill(self, batch: BatchBuffer, start: int, stop: int) -> None:
        """Fill rows start..stop-1 of a batch."""
        indices = self.order[batch.place + start : batch.place + stop]
        together = self.source.rows(indices)
        if together is not None:
            batch.indices[start:stop] = indices
            batch.ids[start:stop] = self.source.ids[indices]
            batch.sizes[0, start:stop], batch.sizes[1, start:stop] = together.shape[1:3]
            self._draw(batch, start, stop)
            if self.painted:
                self.renderer.render(together, start, batch.table, batch.arrays)
            return
        for row in range(start, stop):
            found = self._first_readable(batch.place + row, len(batch))
            if found is None:
                continue
            index, image = found
            batch.indices[row] = index
            batch.ids[row] = self.source.ids[index]
            batch.sizes[:, row] = image.shape[:2]
            self._draw(batch, row, row + 1)
            self.renderer.render(image[None], row, batch.table, batch.arrays)

    def _draw(self, batch: BatchBuffer, start: int, stop: int) -> None:
        self.renderer.draw(batch.table, batch.ids, self.epoch, self.seed, batch.sizes, start, stop)

    def _first_readable(self, place: int, batch: int) -> tuple[int, np.ndarray] | None:
        """The image at a place of the order or, when replacing, the first readable behind it.

        The same row of the following batches is tried first, so that no two rows of a batch are
        replaced by one image while one of those can be read; then all others.
        """
        n = len(self.order)
        tried: Iterable[int] = (place,)
        if self.unreadable == "replace":
            tried = chain(range(place, place + n, batch), range(place + 1, place + n))
        for at in tried:
            index = int(self.order[at % n])
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


def chunks(rows: int, workers: int, *, together: bool) -> list[tuple[int, int]]:
    """How the rows of a batch are shared out among threads: (start, stop) pairs.

    Images that are read one by one go a few at a time, so that all threads end together; rows of
    an array go in pieces that make the call into compiled code cheap.
    """
    step = max(32, -(-rows // workers)) if together else max(1, min(8, rows // (4 * workers)))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]
