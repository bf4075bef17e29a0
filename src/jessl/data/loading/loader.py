"""Batches of views: each image is read once; threads, ranks and restarts change nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from jessl.core.resources import usable_cores
from jessl.core.validation import check_choice, check_int
from jessl.data.loading.batch import Batch, RowTargets, ViewRecipe
from jessl.data.loading.batch_assembly import BatchBuffer, BatchFiller, chunks
from jessl.data.loading.buffer_pool import BufferPool
from jessl.data.loading.order import epoch_order
from jessl.data.open_source import open_source
from jessl.data.sources.base import Source

if TYPE_CHECKING:
    import torch

# share of a GPU's memory that the images of one array may take
_RESIDENT_SHARE = 0.25


class Loader:
    """Iterable of batches; each iteration is the next epoch.

    The next iteration continues one that was left early; set `epoch` to start an epoch again. A
    loader has one position: use two loaders for two loops at a time.

    A batch is a function of (source, seed, epoch, position): threads and restarts change nothing.
    The ranks divide one shuffled order, rank r taking every world-th image from r on, so that each
    image is seen once per epoch, by one rank. With `drop_last` the order is first cut to a
    multiple of batch_size x world; otherwise the last batches of the ranks may differ by one image.

    An image that cannot be read is replaced by the next readable one of the order (see
    `unreadable`) and recorded in `skipped`.

    Memory: at most `prefetch` + 2 batches of views while no older batch is held. The memory of a
    batch is reused only when its tensors are gone.

    Example:
        >>> loader = Loader("digits", jessl.views.presets.simclr(32), 256)
        >>> for batch in loader:
        ...     first, second = batch.views  # float32 [256, 3, 32, 32] each
    """

    def __init__(
        self,
        source: Source | Any,
        views: ViewRecipe | Callable[[int], ViewRecipe],
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
        targets: RowTargets | None = None,
    ) -> None:
        """
        Args:
            source: a Source or anything `open_source` accepts.
            views: the recipe of the views of an image (`jessl.views.presets`), or a function of
                the epoch that returns one, for a growing resolution:
                `lambda e: views.resized(128 + 2 * e)`.
            batch_size: images per batch and rank.
            seed: seed of the order and the views.
            workers: threads; None: the cores that this process may use, at most 16.
            device: the device of the views.
            rank, world: which share of the images this process sees.
            shuffle: a new order each epoch; False: the order of the source.
            window: for tar shards larger than memory: permute the shards, and the images within
                windows of this many, instead of all images; None: all images.
            drop_last: leave out the images that do not fill a batch.
            unreadable: what to do about an image that cannot be read: "replace" takes the next
                readable one of the order, "drop" leaves it out, "raise" raises UnreadableImage.
            return_params: put the parameters of the views into `Batch.params`.
            prefetch: batches prepared ahead of the one in use.
            dtype: "float32" for normalised views, "uint8" for views that are not normalised.
            augment: "cpu" renders views in threads; "device" crops in threads, sends uint8 and
                leaves the rest to the device (or all of it, where the images are one array that
                fits into a quarter of its memory). None: "device" on a GPU, else "cpu"; always
                "cpu" for images of bands.
            targets: a row for each image of the source, in its order, which comes with each batch
                as `Batch.targets`; None: no targets.

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
        is_transform = type(views).__module__.partition(".")[0] == "torchvision"
        if is_transform or not (callable(views) or hasattr(views, "renderer")):
            raise ValueError(
                "views: expected a recipe of jessl.views.presets, whose operations are those of "
                "torchvision, a Views of own jessl.views.View(size=32, gray=0.2, ...), or a "
                f"function of the epoch, got an object of type {type(views).__name__}"
            )
        if rank >= world:
            raise ValueError(f"rank: expected a whole number from 0 to {world - 1}, got {rank}")
        if drop_last and len(self.source) < batch_size * world:
            raise ValueError(
                f"batch_size {batch_size} on {world} processes needs {batch_size * world} images; "
                f"{self.source.name} has {len(self.source)}"
            )
        if window is not None and not shuffle:
            raise ValueError(f"window: expected None without shuffle, got {window}")
        if window is not None and self.source.segments is None:
            raise ValueError(
                f"window: expected None for all sources but tar shards, got {window} for "
                f"{self.source.name}"
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
        # crops for a device are of 8 bits
        on_device = on_gpu and dtype == "float32" and self.source.bands is None
        self.augment = check_choice(
            "augment", augment or ("device" if on_device else "cpu"), ("cpu", "device")
        )
        if self.augment == "device" and self.source.bands is not None:
            raise ValueError("augment: expected cpu for images of bands, got device")
        if self.augment == "device" and dtype == "uint8":
            raise ValueError("dtype: expected float32 with augment='device', got uint8")
        if targets is not None and len(targets) != len(self.source):
            raise ValueError(
                f"targets: expected a row for each of the {len(self.source)} images, "
                f"got {len(targets)}"
            )
        self.targets = targets
        self.skipped: dict[str, str] = {}
        self._pinned = on_gpu
        self._epoch = 0
        self._next = 0
        self._pools: dict[tuple[int, ...], BufferPool] = {}
        self._resident: torch.Tensor | None = None
        self._waited_seconds = 0.0
        self._seconds = 0.0

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration; setting it restarts that epoch."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch, self._next = epoch, 0

    @property
    def stalled(self) -> float:
        """Share of the time since the iteration began that the consumer waited for batches.

        Near 0 the loader keeps up; near 1 the training waits for it. The wait for the first batch
        of an epoch counts.
        """
        return self._waited_seconds / self._seconds if self._seconds else 0.0

    def __getstate__(self) -> dict[str, Any]:
        # a copy allocates its own memory
        return {**self.__dict__, "_pools": {}, "_resident": None}

    def __len__(self) -> int:
        """Batches of this rank per epoch."""
        n = len(self.source)
        if self.drop_last:
            return n // (self.batch_size * self.world)
        images = (n - self.rank + self.world - 1) // self.world
        return -(-images // self.batch_size)

    def state_dict(self) -> dict[str, int]:
        """The position of the loader: the epoch and the next batch in it."""
        return {"epoch": self.epoch, "batch": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a `state_dict`: the next iteration begins at its batch.

        Raises:
            ValueError: for a state that does not fit this loader.
        """
        if not isinstance(state, dict) or not {"epoch", "batch"} <= state.keys():
            raise ValueError(f"state: expected epoch and batch, got {state!r}")
        state = {name: check_int(name, state[name], 0) for name in ("epoch", "batch")}
        if not 0 <= state["batch"] <= len(self):
            raise ValueError(
                f"state: expected batch 0..{len(self)}, got {state['batch']}; did source, "
                "batch_size or world change?"
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
        filler, one_array = self._filler(views, epoch)
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="jessl-loader")
        pending: deque[tuple[BatchBuffer, list[Future[None]]]] = deque()
        transfers: deque[tuple[Any, list[torch.Tensor]]] = deque()
        todo = deque(range(start, len(self)))
        self._waited_seconds = self._seconds = 0.0
        since = time.perf_counter()
        try:
            for k in range(start, len(self)):
                while todo and len(pending) <= self.prefetch:
                    batch = self._new_batch(views, filler, todo.popleft())
                    shares = chunks(len(batch), self.workers, one_array=one_array)
                    pending.append((batch, [pool.submit(filler.fill, batch, *s) for s in shares]))
                wait_start = time.perf_counter()
                batch, parts = pending.popleft()
                for part in parts:
                    part.result()
                ready = self._finish(views, batch, transfers)
                del batch, parts  # only the caller decides how long the memory is held
                now = time.perf_counter()
                self._waited_seconds += now - wait_start
                self._seconds = now - since
                # the epoch ends with its last batch: not every loop asks for another one
                last = k + 1 == len(self)
                self._epoch, self._next = (epoch + 1, 0) if last else (epoch, k + 1)
                if ready is not None:
                    yield ready
                    ready = None
                self._seconds = time.perf_counter() - since
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for event, _ in transfers:  # before their memory is reused
                event.synchronize()

    def _filler(self, views: ViewRecipe, epoch: int) -> tuple[BatchFiller, bool]:
        """The filler of the batches of an epoch, and whether the images are rows of one array."""
        rows = self.source.rows(np.arange(min(1, len(self.source))))
        on_device = self.augment == "device"
        if on_device and rows is not None and self._resident is None:
            self._resident = self._all_on_device(rows.nbytes * len(self.source))
        bands = self.source.bands
        renderer = views.renderer(
            as_uint8=self.dtype == "uint8",
            crops_only=on_device,
            **({} if bands is None else {"colour": bands.colour}),
        )
        self._pools = {
            shape: pool
            for shape, pool in self._pools.items()
            if shape[1:] in renderer.shapes and pool.dtype == renderer.dtype
        }
        filler = BatchFiller(
            self.source,
            renderer,
            self.order(epoch),
            seed=self.seed,
            epoch=epoch,
            unreadable=self.unreadable,
            skipped=self.skipped,
            renders=self._resident is None,
        )
        return filler, rows is not None

    def _new_batch(self, views: ViewRecipe, filler: BatchFiller, k: int) -> BatchBuffer:
        """Batch k of an epoch, still empty."""
        start = k * self.batch_size
        n = min(self.batch_size, len(filler.order) - start)
        out = []
        for shape in filler.renderer.shapes if filler.renders else ():
            full = (self.batch_size, *shape)
            if full not in self._pools:
                self._pools[full] = BufferPool(full, filler.renderer.dtype, pinned=self._pinned)
            out.append(self._pools[full].lend()[:n])
        return BatchBuffer(
            start=start,
            indices=np.full(n, -1, np.int64),
            ids=np.zeros(n, np.int64),
            sizes=np.zeros((2, n), np.int64),
            table=views.neutral_table(n),
            out=out,
        )

    def _finish(
        self,
        views: ViewRecipe,
        batch: BatchBuffer,
        transfers: deque[tuple[Any, list[torch.Tensor]]],
    ) -> Batch | None:
        """A filled batch as the caller receives it; None when none of its images could be read."""
        import torch

        from jessl.core.devices import to_device

        read = batch.indices >= 0
        if not read.any():
            return None
        out, table = batch.out, batch.table
        if not read.all():
            rows = torch.from_numpy(np.flatnonzero(read))
            out, table = [x[rows] for x in out], table[:, read]
        indices = batch.indices[read]
        if self._resident is not None:
            at = to_device(torch.from_numpy(indices), self._resident.device)
            out = views.apply_on_device(self._resident[at], table)
        else:
            out = self._on_device(out, transfers)
            if self.augment == "device":
                out = views.finish(out, table)
        labels = self.source.labels
        return Batch(
            views=out,
            ids=torch.from_numpy(batch.ids[read]),
            labels=None if labels is None else torch.from_numpy(labels[indices]),
            params=views.as_params(table) if self.return_params else None,
            targets=None if self.targets is None else torch.from_numpy(self.targets[indices]),
        )

    def _on_device(
        self, out: list[torch.Tensor], transfers: deque[tuple[Any, list[torch.Tensor]]]
    ) -> list[torch.Tensor]:
        """Copies on the device; page-locked originals stay in `transfers` until they are copied."""
        if str(self.device) == "cpu":
            return out
        moved = [x.to(self.device, non_blocking=self._pinned) for x in out]
        if self._pinned:
            import torch

            transfers.append((torch.cuda.current_stream(self.device).record_event(), out))
            while transfers and transfers[0][0].query():
                transfers.popleft()
        return moved

    def _all_on_device(self, size_bytes: int) -> torch.Tensor | None:
        """All images of an array on the device; None where they do not fit."""
        import torch

        if self._pinned:
            # of the total, not the free memory: a restart must decide the same way
            memory = torch.cuda.get_device_properties(self.device).total_memory
            if size_bytes > _RESIDENT_SHARE * memory:
                return None
        rows = self.source.rows(np.arange(len(self.source)))
        return torch.from_numpy(rows).to(self.device)
