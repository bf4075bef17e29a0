"""Where a loader spends its time, measured on the user's own images and machine."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jessl.core.sampling import linspace_indices
from jessl.data.decode.image import UnreadableImage, decode
from jessl.data.loading.batch_assembly import ViewRenderer
from jessl.data.loading.loader import Loader
from jessl.data.packing.encode import Recipe, packed
from jessl.data.sources.base import Source

# images that are packed to measure the gain
_PACKED_IMAGES = 32
# images whose views are rendered in one call
_CHUNK_IMAGES = 16


@dataclass(frozen=True)
class Stages:
    """Time per image on one core, in milliseconds (means over `images` images).

    Attributes:
        read_ms: reading the file, or the pixels of sources without files.
        decode_ms: decoding the file; 0 for sources without files.
        views_ms: sampling the parameters of all views and rendering them; with a GPU, only crops.
        images: how many were measured.
        unreadable: how many of the sample could not be read.
        file_kb: mean file size in thousands of bytes; None for sources without files.
        height_px, width_px: medians.
    """

    read_ms: float
    decode_ms: float
    views_ms: float
    images: int
    unreadable: int
    file_kb: float | None
    height_px: int
    width_px: int

    @property
    def total_ms(self) -> float:
        """Sum of the stages."""
        return self.read_ms + self.decode_ms + self.views_ms

    @property
    def images_per_second(self) -> float:
        """The most that one core can do."""
        return 1000 / self.total_ms


def measure_stages(
    source: Source, views: Any, *, images: int = 256, crops_only: bool = False
) -> Stages:
    """Measure reading, decoding and views on evenly spaced images, one after the other.

    The first readable images are processed once beforehand, so that compilation and imports are not
    counted.

    Args:
        source: the images.
        views: a recipe (`jessl.views.Views`).
        images: how many at most.
        crops_only: measure only the crops, as a loader renders them when a GPU finishes the views.

    Raises:
        UnreadableImage: when none of them can be read.
    """
    chosen = linspace_indices(len(source), images)
    canvas = _Canvas(views, crops_only)
    for start in range(0, len(chosen), _CHUNK_IMAGES):
        with contextlib.suppress(UnreadableImage):
            _timed(source, canvas, chosen[start : start + _CHUNK_IMAGES])
            break
    return _timed(source, canvas, chosen)


def measure_packed(
    source: Source,
    views: Any,
    *,
    short_side: int,
    quality: int | None = None,
    crops_only: bool = False,
) -> tuple[Stages, Stages]:
    """The stages of a few images as they are, and as `pack` would write them.

    The time to read is that of the source in both.

    Args:
        source: the images.
        views, crops_only: as for `measure_stages`.
        short_side, quality: of `jessl.data.packing.pack`.

    Raises:
        UnreadableImage: when no image can be read.
    """
    before = measure_stages(source, views, images=_PACKED_IMAGES, crops_only=crops_only)
    recipe = Recipe(short_side=short_side, quality=quality)
    canvas = _Canvas(views, crops_only)
    tally = _Tally(canvas)
    for index in map(int, linspace_indices(len(source), _PACKED_IMAGES)):
        try:
            file = packed(source, index, recipe).data
        except UnreadableImage:
            continue
        since = time.perf_counter()
        image = decode(file, source.where(index), value_range=source.value_range)
        tally.decoding += time.perf_counter() - since
        tally.add(int(source.ids[index]), image, len(file))
    after = tally.stages(before.unreadable)
    return before, replace(after, read_ms=before.read_ms)


def measure_loader(
    source: Source,
    views: Any,
    *,
    batch_size: int,
    threads: int,
    seconds: float = 2.0,
    device: str = "cpu",
) -> float:
    """Images per second through a `Loader` once it runs.

    Batches that are begun before the first one is ready do not count.

    Args:
        source: the images.
        views: a recipe (`jessl.views.Views`).
        batch_size: images a batch.
        threads: workers of the loader.
        seconds: minimal duration of the measurement.
        device: the device of the views.
    """
    loader = Loader(source, views, min(batch_size, len(source)), workers=threads, device=device)
    skip = loader.prefetch + 1
    since, done = 0.0, 0
    while True:
        for batch in loader:
            if skip:
                skip -= 1
                since = _now(device)
                continue
            done += len(batch.ids)
            if time.perf_counter() - since >= seconds:
                return done / (_now(device) - since)


def thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`, which is the last."""
    counts = [1]
    while counts[-1] * 2 < most:
        counts.append(counts[-1] * 2)
    return counts if most == 1 else [*counts, most]


class _Canvas:
    """Renders views as a loader does, always into the same memory."""

    def __init__(self, views: Any, crops_only: bool) -> None:
        self._views = views
        self._renderer: ViewRenderer = views.renderer(crops_only=crops_only)
        shapes, dtype = self._renderer.shapes, self._renderer.dtype
        self._out = [np.ones((_CHUNK_IMAGES, *shape), dtype) for shape in shapes]

    def seconds(self, ids: Sequence[int], images: Sequence[np.ndarray]) -> float:
        """Time to sample and render all views of images [h, w, c]; of an array, all at once."""
        renderer, out = self._renderer, self._out
        n = len(images)
        sizes = np.array([image.shape[:2] for image in images], dtype=np.int64).T.copy()
        numbers = np.array(ids, dtype=np.int64)
        since = time.perf_counter()
        table = self._views.neutral_table(n)
        renderer.draw(table, numbers, 0, 0, sizes, 0, n)
        if isinstance(images, np.ndarray):
            renderer.render(images, 0, table, out)
        else:
            for row, image in enumerate(images):
                renderer.render(image[None], row, table, out)
        return time.perf_counter() - since


class _Tally:
    """Sums the time of images; their views are rendered a few images at a time."""

    def __init__(self, canvas: _Canvas) -> None:
        self.reading = self.decoding = self.rendering = 0.0
        self._canvas = canvas
        self._shapes: list[tuple[int, ...]] = []
        self._file_bytes: list[int] = []
        self._waiting: list[tuple[int, np.ndarray]] = []

    def add(self, id_: int, image: np.ndarray, file_bytes: int | None = None) -> None:
        """Add one image that was read and decoded."""
        self._shapes.append(image.shape)
        if file_bytes is not None:
            self._file_bytes.append(file_bytes)
        self._waiting.append((id_, image))
        if len(self._waiting) == _CHUNK_IMAGES:
            self._render()

    def add_rows(self, ids: np.ndarray, images: np.ndarray) -> None:
        """Add images that are one array [n, h, w, c]."""
        self._shapes += [images.shape[1:]] * len(images)
        self.rendering += self._canvas.seconds(ids.tolist(), images)  # type: ignore[arg-type]

    def stages(self, unreadable: int) -> Stages:
        """Means over the images."""
        if self._waiting:
            self._render()
        n = len(self._shapes)
        return Stages(
            read_ms=1000 * self.reading / n,
            decode_ms=1000 * self.decoding / n,
            views_ms=1000 * self.rendering / n,
            images=n,
            unreadable=unreadable,
            file_kb=statistics.fmean(self._file_bytes) / 1000 if self._file_bytes else None,
            height_px=int(np.median([shape[0] for shape in self._shapes])),
            width_px=int(np.median([shape[1] for shape in self._shapes])),
        )

    def _render(self) -> None:
        self.rendering += self._canvas.seconds(*zip(*self._waiting, strict=True))
        self._waiting = []


def _timed(source: Source, canvas: _Canvas, chosen: np.ndarray) -> Stages:
    tally = _Tally(canvas)
    unreadable = 0
    first: UnreadableImage | None = None
    for start in range(0, len(chosen), _CHUNK_IMAGES):
        group = chosen[start : start + _CHUNK_IMAGES]
        since = time.perf_counter()
        rows = source.rows(group)
        if rows is not None:
            tally.reading += time.perf_counter() - since
            tally.add_rows(source.ids[group], rows)
            continue
        for index in map(int, group):
            try:
                image, file_bytes = _read_and_decode(source, index, tally)
            except UnreadableImage as error:
                unreadable += 1
                first = first or error
                continue
            tally.add(int(source.ids[index]), image, file_bytes)
    if first is not None and unreadable == len(chosen):
        raise first
    return tally.stages(unreadable)


def _read_and_decode(source: Source, index: int, tally: _Tally) -> tuple[np.ndarray, int | None]:
    """One image, and the size of its file in bytes where it has one."""
    since = time.perf_counter()
    file = source.encoded(index)
    if file is None:
        image = source.read(index)
        tally.reading += time.perf_counter() - since
        return image, None
    read_at = time.perf_counter()
    image = decode(file, source.where(index), value_range=source.value_range)
    tally.decoding += time.perf_counter() - read_at
    tally.reading += read_at - since
    return image, len(file)


def _now(device: str) -> float:
    """The time at which all work of the device is done."""
    if str(device).split(":")[0] == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()
