"""Batches of views: read once, k views, the same whatever the threads, ranks or restarts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jessl.core.resources import usable_cores
from jessl.core.validation import check_choice, check_int
from jessl.data.loading.batch_assembly import BatchBuffer, BatchFiller, ViewRenderer, chunks
from jessl.data.loading.buffer_pool import BufferPool
from jessl.data.loading.order import epoch_order
from jessl.data.open_source import open_source
from jessl.data.sources.base import Source

if TYPE_CHECKING:
    import torch

# share of a GPU's memory that the images of an array may take
_RESIDENT_SHARE = 0.25


class _Views(Protocol):
    """What the loader asks of a recipe of views."""

    def __len__(self) -> int: ...

    def renderer(self, *, as_uint8: bool = False, crops_only: bool = False) -> ViewRenderer: ...

    def neutral_table(self, n: int) -> np.ndarray: ...

    def as_params(self, table: np.ndarray) -> list[dict[str, np.ndarray]]: ...

    def finish(self, crops: Sequence[torch.Tensor], table: np.ndarray) -> list[torch.Tensor]: ...

    def apply_on_device(self, images: torch.Tensor, table: np.ndarray) -> list[torch.Tensor]: ...


@dataclass(frozen=True)
class Batch:
    """Views of a batch of images.

    Attributes:
        views: k tensors float32 [batch, 3, size, size], normalised; uint8 ones, not normalised,
            where the loader was asked for them.
        ids: int64 [batch], stable ids of the images, on the CPU.
        labels: int64 [batch], -1 where missing, on the CPU; None when the source has none.
        params: per view the parameters of its operations (`jessl.views.params`), None unless
            asked for.
    """

    views: list[torch.Tensor]
    ids: torch.Tensor
    labels: torch.Tensor | None
    params: list[dict[str, np.ndarray]] | None = None

    def to(self, device: str | torch.device) -> Batch:
        """The same with its tensors on a device; Lightning calls this."""
        return replace(
            self,
            views=[x.to(device) for x in self.views],
            ids=self.ids.to(device),
            labels=None if self.labels is None else self.labels.to(device),
        )


class Loader:
    """Iterable of batches; each iteration is the next epoch.

    An iteration that was left early is gone on with by the next one; set `epoch` to begin anew. A
    loader has one position: for two loops at a time take two loaders.

    A batch is a function of (source, seed, epoch, position): threads and restarts change nothing.
    Ranks share out one shuffled order, rank r taking every world-th image from r on, so each
    image is seen once an epoch by one rank; with `drop_last` the order is first cut to a
    multiple of batch_size x world, else the last batches of the ranks may differ by one image.

    An image that cannot be read is replaced by the next readable one of the order (see
    `unreadable`) and noted in `skipped`.

    Memory: `prefetch` + 2 batches of views at most while no older batch is kept. The memory of a
    batch is used again only when its tensors are gone.
    """

    def __init__(
        self,
        source: Source | Any,
        views: _Views | Callable[[int], _Views],
        batch_size: int,
        *,
        seed: int = 0,
        workers: int | None = None,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        window: int | None = None,
        drop_last: bool = False,
        unreadable: str = "replace",
        return_params: bool = False,
        prefetch: int = 2,
        dtype: str = "float32",
        augment: str | None = None,
    ) -> None:
        """
        Args:
            source: a Source or anything `open_source` accepts.
            views: what is made of each image (`jessl.views.presets`); or a function of the epoch
                that says so, for a resolution that grows: `lambda e: views.resized(128 + 2 * e)`.
            batch_size: images a batch and rank.
            seed: of order and views.
            workers: threads; None: the cores that this process may use, at most 16.
            device: where the views are put.
            rank, world: which share of the images this process sees.
            shuffle: a new order each epoch; False: the order of the source.
            window: of tar shards larger than memory: permute the shards, and the images inside
                of windows of so many, instead of all images; None: all images.
            drop_last: leave out what does not fill a batch.
            unreadable: what becomes of an image that cannot be read: "replace" takes the next
                readable one of the order, "drop" leaves it out, "raise" raises UnreadableImage.
            return_params: put the parameters of the views into `Batch.params`.
            prefetch: batches made ahead of the one in use.
            dtype: "float32" for normalised views, "uint8" for views that are not normalised.
            augment: "cpu" makes views in threads; "device" crops in threads, sends uint8 and
                leaves the rest to the device (or all of it, where the images are one array that
                fits into a quarter of its memory). None: "device" on a GPU, else "cpu".

        Raises:
            ValueError: for a batch size below 1, a rank outside 0..world-1, a window without
                shards, or a source with fewer images than one batch on every rank when `drop_last`.
        """
        self.source = open_source(source)
        batch_size = check_int("batch_size", batch_size, 1)
        workers = None if workers is None else check_int("workers", workers, 1)
        window = None if window is None else check_int("window", window, 1)
        prefetch, world = check_int("prefetch", prefetch, 0), check_int("world", world, 1)
        rank, seed = check_int("rank", rank, 0), check_int("seed", seed, None)
        if not (callable(views) or hasattr(views, "renderer")):
            raise ValueError(
                f"views: a recipe (jessl.views.presets) or a function of the epoch wanted, "
                f"{views!r} came"
            )
        if rank >= world:
            raise ValueError(f"rank must be in 0..{world - 1}, got {rank}")
        if drop_last and len(self.source) < batch_size * world:
            raise ValueError(
                f"batch_size {batch_size} on {world} processes needs {batch_size * world} images; "
                f"{self.source.name} has {len(self.source)}"
            )
        if window is not None and not shuffle:
            raise ValueError("window: an order that is not shuffled has none, leave window out")
        if window is not None and self.source.segments is None:
            raise ValueError(
                f"window: only tar shards are read in windows; {self.source.name} is none, "
                "leave window out"
            )
        self.views = views
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers or min(16, usable_cores())
        self.device = device
        self.rank = rank
        self.world = world
        self.shuffle = shuffle
        self.window = window
        self.drop_last = drop_last
        self.unreadable = check_choice("unreadable", unreadable, ("replace", "drop", "raise"))
        self.return_params = return_params
        self.prefetch = prefetch
        self.dtype = check_choice("dtype", dtype, ("float32", "uint8"))
        on_gpu = str(device).split(":")[0] == "cuda"
        self.augment = check_choice(
            "augment", augment or ("device" if on_gpu and dtype == "float32" else "cpu"),
            ("cpu", "device"),
        )  # fmt: skip
        if self.augment == "device" and dtype == "uint8":
            raise ValueError("dtype: views that a device makes are float32, uint8 came")
        self.skipped: dict[str, str] = {}
        self._pinned = on_gpu
        self._epoch = 0
        self._next = 0
        self._rings: dict[tuple[int, ...], BufferPool] = {}
        self._resident: torch.Tensor | None = None
        self._waited_seconds = 0.0
        self._seconds = 0.0

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration; setting it begins that epoch anew."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch, self._next = epoch, 0

    @property
    def stalled(self) -> float:
        """Share of the time since the iteration began that its consumer waited for batches.

        Near 0 the loader keeps up; near 1 it is what the training waits for. The wait for the
        first batch of an epoch is part of it.
        """
        return self._waited_seconds / self._seconds if self._seconds else 0.0

    def __getstate__(self) -> dict[str, Any]:
        # a copy makes memory of its own
        return {**self.__dict__, "_rings": {}, "_resident": None}

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
        if not isinstance(state, dict) or not {"epoch", "batch"} <= state.keys():
            raise ValueError(f"a state has epoch and batch, {state!r} came")
        state = {name: check_int(name, state[name], 0) for name in ("epoch", "batch")}
        if not 0 <= state["batch"] <= len(self):
            raise ValueError(
                f"batch {state['batch']} of a saved state is none of the {len(self)} of an epoch: "
                "were source, batch_size or world others?"
            )
        self.epoch = state["epoch"]
        if state["batch"] == len(self):
            self.epoch += 1
        else:
            self._next = state["batch"]

    def order(self, epoch: int) -> np.ndarray:
        """Indices of this rank in an epoch, in order: int64."""
        order = epoch_order(
            len(self.source),
            seed=self.seed,
            epoch=epoch,
            shuffle=self.shuffle,
            window=self.window,
            segments=self.source.segments,
        )
        if self.drop_last:
            step = self.batch_size * self.world
            order = order[: len(order) // step * step]
        return order[self.rank :: self.world]

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self.epoch, self._next
        views = self.views(epoch) if callable(self.views) else self.views
        filler, together = self._filler(views, epoch)
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="jessl-loader")
        making: deque[tuple[BatchBuffer, list[Future[None]]]] = deque()
        flying: deque[tuple[Any, list[torch.Tensor]]] = deque()
        todo = deque(range(start, len(self)))
        self._waited_seconds = self._seconds = 0.0
        since = time.perf_counter()
        try:
            for k in range(start, len(self)):
                while todo and len(making) <= self.prefetch:
                    batch = self._blank(views, filler, todo.popleft())
                    shares = chunks(len(batch), self.workers, together=together)
                    making.append((batch, [pool.submit(filler.fill, batch, *s) for s in shares]))
                asked = time.perf_counter()
                batch, parts = making.popleft()
                for part in parts:
                    part.result()
                done = self._done(views, batch, flying)
                del batch, parts  # the caller alone decides how long the memory is held
                now = time.perf_counter()
                self._waited_seconds += now - asked
                self._seconds = now - since
                # with its last batch an epoch is over: not every loop comes back for the end
                last = k + 1 == len(self)
                self._epoch, self._next = (epoch + 1, 0) if last else (epoch, k + 1)
                if done is not None:
                    yield done
                    done = None
                self._seconds = time.perf_counter() - since
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for event, _ in flying:  # before their memory is used again
                event.synchronize()

    def _filler(self, views: _Views, epoch: int) -> tuple[BatchFiller, bool]:
        """What fills the batches of an epoch, and whether the images are rows of one array."""
        rows = self.source.rows(np.arange(min(1, len(self.source))))
        on_device = self.augment == "device"
        if on_device and rows is not None and self._resident is None:
            self._resident = self._moved_whole(rows.nbytes * len(self.source))
        renderer = views.renderer(as_uint8=self.dtype == "uint8", crops_only=on_device)
        self._rings = {
            shape: ring
            for shape, ring in self._rings.items()
            if shape[1:] in renderer.shapes and ring.dtype == renderer.dtype
        }
        filler = BatchFiller(
            self.source,
            renderer,
            self.order(epoch),
            seed=self.seed,
            epoch=epoch,
            unreadable=self.unreadable,
            skipped=self.skipped,
            painted=self._resident is None,
        )
        return filler, rows is not None

    def _blank(self, views: _Views, filler: BatchFiller, k: int) -> BatchBuffer:
        """Batch k of an epoch, nothing in it yet."""
        place = k * self.batch_size
        n = min(self.batch_size, len(filler.order) - place)
        out = []
        for shape in filler.renderer.shapes if filler.painted else ():
            whole = (self.batch_size, *shape)
            if whole not in self._rings:
                self._rings[whole] = BufferPool(whole, filler.renderer.dtype, pinned=self._pinned)
            out.append(self._rings[whole].lend()[:n])
        return BatchBuffer(
            place=place,
            indices=np.full(n, -1, np.int64),
            ids=np.zeros(n, np.int64),
            sizes=np.zeros((2, n), np.int64),
            table=views.neutral_table(n),
            out=out,
        )

    def _done(
        self,
        views: _Views,
        batch: BatchBuffer,
        flying: deque[tuple[Any, list[torch.Tensor]]],
    ) -> Batch | None:
        """A filled batch as the caller gets it; None when none of its images could be read."""
        import torch

        read = batch.indices >= 0
        if not read.any():
            return None
        out, table = batch.out, batch.table
        if not read.all():
            kept = torch.from_numpy(np.flatnonzero(read))
            out, table = [x[kept] for x in out], table[:, read]
        indices = batch.indices[read]
        if self._resident is not None:
            at = torch.from_numpy(indices).to(self._resident.device)
            out = views.apply_on_device(self._resident[at], table)
        else:
            out = self._on_device(out, flying)
            if self.augment == "device":
                out = views.finish(out, table)
        labels = self.source.labels
        return Batch(
            views=out,
            ids=torch.from_numpy(batch.ids[read]),
            labels=None if labels is None else torch.from_numpy(labels[indices]),
            params=views.as_params(table) if self.return_params else None,
        )

    def _on_device(
        self, out: list[torch.Tensor], flying: deque[tuple[Any, list[torch.Tensor]]]
    ) -> list[torch.Tensor]:
        """Copies on the device; page-locked ones stay in `flying` until they have been copied."""
        if str(self.device) == "cpu":
            return out
        moved = [x.to(self.device, non_blocking=self._pinned) for x in out]
        if self._pinned:
            import torch

            flying.append((torch.cuda.current_stream(self.device).record_event(), out))
            while flying and flying[0][0].query():
                flying.popleft()
        return moved

    def _moved_whole(self, size_bytes: int) -> torch.Tensor | None:
        """All images of an array on the device, where they fit."""
        import torch

        if self._pinned:
            # of all memory, not of what is free now: a restart must go the same way
            memory = torch.cuda.get_device_properties(self.device).total_memory
            if size_bytes > _RESIDENT_SHARE * memory:
                return None
        rows = self.source.rows(np.arange(len(self.source)))
        return torch.from_numpy(rows).to(self.device)
