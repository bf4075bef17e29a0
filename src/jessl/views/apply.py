"""Pixels of views on the CPU: the compiled kernels on batches and on single images.

Order and meaning of the operations are those of `View`. Results equal torchvision's float results
on the same parameters: the mean difference is below 1e-5, and no pixel differs by more than 1/255
(tests/unit/views/test_view_pixels.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from jessl.views.noise import normal_table
from jessl.views.params import COLUMN
from jessl.views.recipe import ViewRecipes
from jessl.views.sampling import recipe_rows, states

if TYPE_CHECKING:
    import torch

_PLACE, _ERASE = COLUMN["place_top_px"], COLUMN["erase_top_px"]
_SHARED = COLUMN["noise_shared"]
MOST_CHANNELS = 16
_NO_COLOUR = (-1, -1, -1)
_NO_FLOATS = np.empty((0, 0, 0, 0), np.float32)
_NO_BYTES = np.empty((0, 0, 0, 0), np.uint8)
# scratch memory that a thread keeps, 64 MiB; a huge image's is freed after use
_MOST_KEPT_FLOATS = 16 << 20
_local = threading.local()


def apply_views(
    views: ViewRecipes,
    images: np.ndarray | Sequence[np.ndarray],
    table: np.ndarray,
    colour: Sequence[int] | None = None,
) -> list[torch.Tensor]:
    """Make k tensors float32 [n, c, size, size], normalised, of the c channels of `views.mean`.

    Args:
        views: the recipe.
        images: uint8 or uint16 [n, h, w, c] or n arrays [h, w, c]; one channel becomes three where
            c is 3.
        table: float64 [k, n, columns], see `jessl.views.params`.
        colour: as of `CpuRenderer`.

    Raises:
        ValueError: for boxes outside their image, or images of other types or channels.
    """
    import torch

    n = len(images)
    if table.shape[:2] != (len(views), n):
        raise ValueError(
            f"params: expected {len(views)} views of {n} images, got {table.shape[0]} views of "
            f"{table.shape[1]} images"
        )
    check_images(images, len(views.mean))
    check_boxes(views, images, table)
    renderer = CpuRenderer(views, colour=colour)
    channels = len(views.mean)
    out = [np.empty((n, channels, v.size, v.size), np.float32) for v in views.recipes]
    if isinstance(images, np.ndarray):
        renderer.render(images, 0, table, out)
    else:
        for k, image in enumerate(images):
            renderer.render(image[None], k, table, out)
    return [torch.from_numpy(x) for x in out]


def check_images(images: np.ndarray | Sequence[np.ndarray], channels: int) -> None:
    """Refuse images of other types, or that cannot become views of `channels` channels."""
    each = [images] if isinstance(images, np.ndarray) else images
    for image in each:
        if image.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"images: expected uint8 or uint16, got {image.dtype}")
        if image.shape[-1] not in (channels, 1 if channels == 3 else channels):
            raise ValueError(
                f"images: expected {channels} channels, as mean and std have numbers, "
                f"got {image.shape[-1]}"
            )


def check_boxes(
    views: ViewRecipes, images: np.ndarray | Sequence[np.ndarray], table: np.ndarray
) -> None:
    """Refuse parameters that would read outside an image or write outside a view."""
    shapes = np.array([image.shape[:2] for image in images], dtype=np.float64).reshape(-1, 2)
    for view, p in zip(views.recipes, table, strict=True):
        top, left, height, width = p[:, :4].T
        inside = (top >= 0) & (left >= 0) & (height >= 1) & (width >= 1)
        inside &= (top + height <= shapes[:, 0]) & (left + width <= shapes[:, 1])
        for first in (_PLACE, _ERASE):  # none, or a rectangle of at least a pixel
            top, left, height, width = p[:, first : first + 4].T
            inside &= (top >= 0) & (left >= 0)
            inside &= ((height == 0) & (width == 0)) | ((height >= 1) & (width >= 1))
            inside &= (top + height <= view.size) & (left + width <= view.size)
        if not inside.all():
            row = int(np.argmin(inside))
            raise ValueError(
                f"params: expected boxes within the image and its view of {view.size} pixels, got "
                f"one outside for image {row} ({shapes[row, 0]:.0f}x{shapes[row, 1]:.0f} pixels)"
            )


class CpuRenderer:
    """Draws parameters and renders views of one recipe with the kernels, from many threads.

    Args:
        views: the recipe.
        as_uint8: make uint8 views without normalisation instead of normalised float32 ones.
        crops_only: make uint8 crops; `jessl.views.gpu.apply` does all that follows the flips.
        colour: the three channels that are red, green and blue, on which saturation, hue and
            grayscale act; empty: none are. None: 0, 1 and 2 where there are three channels.

    Raises:
        ValueError: for more than 16 channels, or a colour that is not three of them.
    """

    def __init__(
        self,
        views: ViewRecipes,
        *,
        as_uint8: bool = False,
        crops_only: bool = False,
        colour: Sequence[int] | None = None,
    ) -> None:
        from jessl.views.kernels import compiled
        from jessl.views.kernels.render import BYTES, CROPS, NORMALISED

        channels = len(views.mean)
        if channels > MOST_CHANNELS:
            raise ValueError(
                f"mean and std: expected 1 to {MOST_CHANNELS} channels, got {channels}"
            )
        self._colour = _colour_channels(colour, channels)
        self.views = views
        self.shapes = tuple((channels, v.size, v.size) for v in views.recipes)
        self._sizes = tuple(v.size for v in views.recipes)
        self.dtype: type[np.generic] = np.uint8 if as_uint8 or crops_only else np.float32
        self._floats = self.dtype == np.float32
        self._mode = CROPS if crops_only else (BYTES if as_uint8 else NORMALISED)
        self._kernels = compiled()
        self._recipes = recipe_rows(views)
        self._mean = np.array(views.mean, np.float32)
        self._std = np.array(views.std, np.float32)
        self._normals = normal_table().copy()  # the kernels accept writable arrays only

    def draw(
        self,
        table: np.ndarray,
        ids: np.ndarray,
        epoch: int,
        seed: int,
        sizes: np.ndarray,
        start: int,
        stop: int,
    ) -> None:
        """Draw rows start..stop-1 of a neutral table [k, n, columns].

        Args:
            ids: int64 [n]; sizes: int64 [2, n], heights and widths of the images in pixels.
        """
        states_ = states(seed, epoch, len(self.shapes))
        self._kernels.draw(table, self._recipes, states_, ids, sizes[0], sizes[1], start, stop)

    def render(
        self, images: np.ndarray, first: int, table: np.ndarray, out: Sequence[np.ndarray]
    ) -> None:
        """Write the views of images into rows first, first + 1, ... of `out`.

        Args:
            images: uint8 or uint16 [m, h, w, c].
            first: row of `table` and `out` that belongs to the first image.
            table: float64 [k, n, columns]; boxes must lie inside the images (`check_boxes`).
            out: an array [n, *shape] of `dtype` for each view.
        """
        channels = self.shapes[0][0]
        if images.shape[3] not in (channels, 1 if channels == 3 else channels) or 0 in images.shape:
            raise ValueError(
                f"images: expected {channels} channels, as mean and std have numbers, got "
                f"{images.shape[3]} ({images.shape[1]}x{images.shape[2]} pixels)"
            )
        if not images.flags.c_contiguous or not images.flags.writeable:
            images = images.copy()
        if images.shape[3] == 1 and channels > 1:
            table[:, first : first + len(images), _SHARED] = 1
        floats, places = _scratch(images.shape, self._sizes)
        # an image that was grey has no colour to change
        colour = self._colour if images.shape[3] == channels else _NO_COLOUR
        render = self._kernels.render if images.dtype == np.uint8 else _render_16()
        for k, view in enumerate(self.views.recipes):
            render(
                images,
                first,
                table[k],
                colour,
                view.fill,
                view.kernel_px,
                self._mean,
                self._std,
                self._mode,
                floats,
                places,
                self._normals,
                out[k] if self._floats else _NO_FLOATS,
                _NO_BYTES if self._floats else out[k],
            )


def _colour_channels(colour: Sequence[int] | None, channels: int) -> tuple[int, int, int]:
    """The channels that are red, green and blue, for the kernels; -1: none are."""
    if colour is None:
        colour = (0, 1, 2) if channels == 3 else ()
    if not len(colour):
        return _NO_COLOUR
    if len(colour) != 3 or len(set(colour)) != 3 or not all(0 <= c < channels for c in colour):
        raise ValueError(
            f"colour: expected three of the channels 0..{channels - 1}, got {tuple(colour)}"
        )
    red, green, blue = (int(c) for c in colour)
    return red, green, blue


def _render_16() -> Callable[..., None]:
    from jessl.views.kernels import compiled_render_16

    return compiled_render_16()


def _scratch(shape: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scratch memory of this thread, float32 and int32, large enough for views of these sizes."""
    float_count, place_count = _scratch_sizes(shape[1], shape[2], shape[3], sizes)
    if float_count > _MOST_KEPT_FLOATS:
        return _aligned(float_count), np.empty(place_count, np.int32)
    floats: np.ndarray | None = getattr(_local, "floats", None)
    if floats is None or len(floats) < float_count:
        floats = _local.floats = _aligned(float_count)
    places: np.ndarray | None = getattr(_local, "places", None)
    if places is None or len(places) < place_count:
        places = _local.places = np.empty(place_count, np.int32)
    return floats, places


@lru_cache(maxsize=4096)
def _scratch_sizes(
    height: int, width: int, channels: int, sizes: tuple[int, ...]
) -> tuple[int, int]:
    from jessl.views.kernels.render import scratch_floats

    most = max(scratch_floats(height, width, channels, size) for size in sizes)
    return most, 2 * max(sizes) + 8


def _aligned(count: int) -> np.ndarray:
    """Float32 [count], aligned to a cache line for the vectors of the kernels."""
    buffer = np.empty(count + 16, np.float32)
    first = -buffer.ctypes.data // 4 % 16
    return buffer[first : first + count]
