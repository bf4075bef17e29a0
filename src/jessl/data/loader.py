"""Batches of views: read once, k views, the same whatever the threads, ranks or restarts."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jessl.data.sources import Source, UnreadableImage, open_source
from jessl.names import one_of

if TYPE_CHECKING:
    import torch

# batches that are being made ahead of the one in use
_PREFETCH = 2


class _Views(Protocol):
    """What the loader asks of a recipe of views."""

    def sample(
        self, ids: np.ndarray, epoch: int, seed: int, heights: np.ndarray, widths: np.ndarray
    ) -> list[dict[str, np.ndarray]]: ...

    def apply(
        self, images: np.ndarray | Sequence[np.ndarray], params: Sequence[dict[str, np.ndarray]]
    ) -> list[torch.Tensor]: ...


@dataclass(frozen=True)
class Batch:
    """Views of a batch of images.

    Attributes:
        views: k tensors float32 [batch, 3, size, size], normalised.
        ids: int64 [batch], stable ids of the images.
        labels: int64 [batch], -1 where missing; None when the source has none.
        params: per view the parameters of its operations, None unless asked for.
    """

    views: list[torch.Tensor]
    ids: torch.Tensor
    labels: torch.Tensor | None
    params: list[dict[str, np.ndarray]] | None = None


class Loader:
    """Iterable of batches; each iteration is the next epoch.

    An iteration that was left early is gone on with by the next one; set `epoch` to begin anew.

    A batch is a function of (source, seed, epoch, position): threads and restarts change nothing.
    Ranks share out one shuffled order, rank r taking every world-th image from r on, so each
    image is seen once an epoch by one rank; with `drop_last` the order is first cut to a
    multiple of batch_size x world, else the last batches of the ranks may differ by one image.

    An image that cannot be read is replaced by the next readable one of the order (or left out,
    see `unreadable`) and noted in `skipped`.
    """

    def __init__(
        self,
        source: Source | Any,
        views: _Views,
        batch_size: int,
        *,
        seed: int = 0,
        workers: int | None = None,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
        unreadable: str = "replace",
        return_params: bool = False,
    ) -> None:
        """
        Args:
            source: a Source or anything `open_source` accepts.
            views: what is made of each image (`jessl.views.presets`).
            batch_size: images a batch and rank.
            seed: of order and views.
            workers: threads; None: the cores of the machine, at most 8.
            device: where the views are put.
            rank, world: which share of the images this process sees.
            shuffle: a new order each epoch; False: the order of the source.
            drop_last: leave out what does not fill a batch.
            unreadable: "replace" keeps the batch full, "drop" leaves the image out.
            return_params: put the parameters of the views into `Batch.params`.

        Raises:
            ValueError: for a batch size below 1, a rank outside 0..world-1, or a source with
                fewer images than one batch on every rank when `drop_last`.
        """
        self.source = open_source(source)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not 0 <= rank < world:
            raise ValueError(f"rank must be in 0..{world - 1}, got {rank}")
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        if drop_last and len(self.source) < batch_size * world:
            raise ValueError(
                f"batch_size {batch_size} on {world} processes needs {batch_size * world} images; "
                f"{self.source.name} has {len(self.source)}"
            )
        self.views = views
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers or min(8, os.cpu_count() or 1)
        self.device = device
        self.rank = rank
        self.world = world
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.unreadable = one_of("unreadable", unreadable, ("replace", "drop"))
        self.return_params = return_params
        self._epoch = 0
        self.skipped: dict[str, str] = {}
        self._lock = threading.Lock()
        self._next = 0

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration; setting it begins that epoch anew."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch, self._next = epoch, 0

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        n = len(self.source)
        if self.drop_last:
            return n // (self.batch_size * self.world)
        mine = (n - self.rank + self.world - 1) // self.world
        return -(-mine // self.batch_size)

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: the epoch and the next batch in it."""
        return {"epoch": self.epoch, "batch": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a `state_dict`: the next iteration begins at its batch."""
        self.epoch = state["epoch"]
        self._next = state["batch"]

    def order(self, epoch: int) -> np.ndarray:
        """Indices of this rank in an epoch, in order: int64."""
        n = len(self.source)
        if self.shuffle:
            generator = np.random.Generator(np.random.Philox(key=[self.seed % 2**64, epoch]))
            order = generator.permutation(n)
        else:
            order = np.arange(n)
        if self.drop_last:
            step = self.batch_size * self.world
            order = order[: n // step * step]
        return order[self.rank :: self.world]

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self.epoch, self._next
        order = self.order(epoch)
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="jessl-loader")
        waiting: deque[Future[Batch | None]] = deque()
        try:
            ahead = max(_PREFETCH, self.workers)
            todo = iter(range(start, len(self)))
            for k in todo:
                waiting.append(pool.submit(self._batch, order, k, epoch))
                if len(waiting) >= ahead:
                    break
            k = start
            while waiting:
                batch = waiting.popleft().result()
                for following in todo:
                    waiting.append(pool.submit(self._batch, order, following, epoch))
                    break
                k += 1
                self._next = k
                if batch is not None:
                    yield self._on_device(batch)
            self.epoch = epoch + 1
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, order: np.ndarray, k: int, epoch: int) -> Batch | None:
        """Batch k of an epoch; None when none of its images can be read."""
        import torch

        indices = order[k * self.batch_size : (k + 1) * self.batch_size]
        images, indices = self._read(order, indices, k * self.batch_size)
        if not len(indices):
            return None
        ids = self.source.ids[indices]
        if isinstance(images, np.ndarray):
            heights = np.full(len(ids), images.shape[1])
            widths = np.full(len(ids), images.shape[2])
        else:
            heights = np.array([image.shape[0] for image in images])
            widths = np.array([image.shape[1] for image in images])
        params = self.views.sample(ids, epoch, self.seed, heights, widths)
        labels = self.source.labels
        return Batch(
            views=self.views.apply(images, params),
            ids=torch.from_numpy(np.array(ids)),
            labels=None if labels is None else torch.from_numpy(labels[indices]),
            params=params if self.return_params else None,
        )

    def _read(
        self, order: np.ndarray, indices: np.ndarray, place: int
    ) -> tuple[np.ndarray | list[np.ndarray], np.ndarray]:
        """Images of a batch and the indices that they have in the end."""
        together = self.source.rows(indices)
        if together is not None:
            return together, indices
        images, kept = [], []
        for offset in range(len(indices)):
            # replacements come from behind the batch, so that none is in it twice
            found = self._first_readable(order, place + offset, place + len(indices) + offset)
            if found is not None:
                kept.append(found[0])
                images.append(found[1])
        return images, np.array(kept, dtype=np.int64)

    def _first_readable(
        self, order: np.ndarray, place: int, spare: int
    ) -> tuple[int, np.ndarray] | None:
        """The image at a place of the order or, when replacing, the first readable from `spare`."""
        spares = range(spare, spare + len(order)) if self.unreadable == "replace" else range(0)
        for at in (place, *spares):
            index = int(order[at % len(order)])
            try:
                return index, self.source.read(index)
            except UnreadableImage as error:
                with self._lock:
                    self.skipped[error.where] = error.reason
        if self.unreadable == "replace":
            where, reason = next(iter(self.skipped.items()))
            raise ValueError(
                f"not one image of {self.source.name} can be read; the first: {where}: {reason}"
            )
        return None

    def _on_device(self, batch: Batch) -> Batch:
        if str(self.device) == "cpu":
            return batch
        return Batch(
            views=[v.to(self.device, non_blocking=True) for v in batch.views],
            ids=batch.ids,
            labels=batch.labels,
            params=batch.params,
        )
