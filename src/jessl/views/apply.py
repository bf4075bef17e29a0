"""Pixels of views on the CPU: the compiled kernels on batches and on single images.

The order and the meaning of the operations are those of `View`, equal to torchvision's float
results on the same parameters: below 1e-5 in the mean, no pixel beyond 1/255
(tests/test_view_pixels.py).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
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
_NO_FLOATS = np.empty((0, 0, 0, 0), np.float32)
_NO_OCTETS = np.empty((0, 0, 0, 0), np.uint8)
# scratch that a thread keeps, 64 MiB; what a huge image needs beyond is given back
_KEPT_FLOATS = 16 << 20
_local = threading.local()


def apply_views(
    views: ViewRecipes, images: np.ndarray | Sequence[np.ndarray], table: np.ndarray
) -> list[torch.Tensor]:
    """k tensors float32 [n, 3, size, size], normalised ([n, c, ...] for c = 2 or 4 channels).

    Args:
        images: uint8 [n, h, w, c] or n arrays uint8 [h, w, c], c 1..4.
        table: float64 [k, n, columns], see `jessl.views.params`.

    Raises:
        ValueError: for boxes that leave their image, or images of unlike channels.
    """
    import torch

    n = len(images)
    if table.shape[:2] != (len(views), n):
        raise ValueError(
            f"params: {len(views)} views of {n} images, but those of {table.shape[0]} views of "
            f"{table.shape[1]} images came"
        )
    check_images(images, len(views.mean))
    check_boxes(views, images, table)
    painter = CpuRenderer(views)
    channels = len(views.mean)
    out = [np.empty((n, channels, v.size, v.size), np.float32) for v in views.recipes]
    if isinstance(images, np.ndarray):
        painter.paint(images, 0, table, out)
    else:
        for k, image in enumerate(images):
            painter.paint(image[None], k, table, out)
    return [torch.from_numpy(x) for x in out]


def check_images(images: np.ndarray | Sequence[np.ndarray], made: int) -> None:
    """Refuse images that are no uint8, or that cannot become views of `made` channels."""
    each = [images] if isinstance(images, np.ndarray) else images
    for image in each:
        if image.dtype != np.uint8:
            raise ValueError(f"images: uint8 wanted, {image.dtype} came")
        if image.shape[-1] not in (made, 1 if made == 3 else made):
            raise ValueError(
                f"images of {image.shape[-1]} channels cannot become views of {made} channels; "
                f"mean and std have {made} numbers"
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
                f"params: the box of image {row} ({shapes[row, 0]:.0f}x{shapes[row, 1]:.0f} "
                f"pixels) leaves the image or its view of {view.size} pixels"
            )


class CpuRenderer:
    """A recipe made ready for the kernels: draws parameters and paints views, from many threads.

    Args:
        views: the recipe.
        octets: uint8 views that are not normalised, instead of float32 ones that are.
        crops_only: uint8 crops; all that follows the flips is left to `jessl.views.gpu.apply`.
    """

    def __init__(
        self, views: ViewRecipes, *, octets: bool = False, crops_only: bool = False
    ) -> None:
        from jessl.views.kernels import compiled
        from jessl.views.kernels.render import BYTES, CROPS, NORMALISED

        channels = len(views.mean)
        if channels > 4:
            raise ValueError(f"views have 1 to 4 channels, mean and std have {channels} numbers")
        self.views = views
        self.shapes = tuple((channels, v.size, v.size) for v in views.recipes)
        self._sizes = tuple(v.size for v in views.recipes)
        self.dtype = np.uint8 if octets or crops_only else np.float32
        self._floats = self.dtype == np.float32
        self._mode = CROPS if crops_only else (BYTES if octets else NORMALISED)
        self._kernels = compiled()
        self._recipes = recipe_rows(views)
        self._mean = np.array(views.mean, np.float32)
        self._std = np.array(views.std, np.float32)
        self._normals = normal_table().copy()  # the kernels take what may be written into

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

    def paint(
        self, images: np.ndarray, first: int, table: np.ndarray, out: Sequence[np.ndarray]
    ) -> None:
        """Write the views of images into rows first, first + 1, ... of `out`.

        Args:
            images: uint8 [m, h, w, c].
            first: row of `table` and `out` that belongs to the first image.
            table: float64 [k, n, columns]; boxes must lie inside the images (`check_boxes`).
            out: an array [n, *shape] of `dtype` for each view.
        """
        made = self.shapes[0][0]
        if images.shape[3] not in (made, 1 if made == 3 else made) or 0 in images.shape:
            raise ValueError(
                f"images of {images.shape[1]}x{images.shape[2]} pixels and {images.shape[3]} "
                f"channels cannot become views of {made} channels; mean and std have {made} numbers"
            )
        if not images.flags.c_contiguous or not images.flags.writeable:
            images = images.copy()
        if images.shape[3] == 1 and made > 1:
            table[:, first : first + len(images), _SHARED] = 1
        floats, places = _scratch(images.shape, self._sizes)
        for k, view in enumerate(self.views.recipes):
            self._kernels.render(
                images,
                first,
                table[k],
                view.fill,
                view.kernel_px,
                self._mean,
                self._std,
                self._mode,
                floats,
                places,
                self._normals,
                out[k] if self._floats else _NO_FLOATS,
                _NO_OCTETS if self._floats else out[k],
            )


def _scratch(shape: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scratch of this thread that is large enough for views of these sizes: float32 and int32."""
    needed, many = _needed(shape[1], shape[2], shape[3], sizes)
    if needed > _KEPT_FLOATS:
        return _aligned(needed), np.empty(many, np.int32)
    floats: np.ndarray | None = getattr(_local, "floats", None)
    if floats is None or len(floats) < needed:
        floats = _local.floats = _aligned(needed)
    places: np.ndarray | None = getattr(_local, "places", None)
    if places is None or len(places) < many:
        places = _local.places = np.empty(many, np.int32)
    return floats, places


@lru_cache(maxsize=4096)
def _needed(height: int, width: int, channels: int, sizes: tuple[int, ...]) -> tuple[int, int]:
    from jessl.views.kernels.render import scratch_floats

    most = max(scratch_floats(height, width, channels, size) for size in sizes)
    return most, 2 * max(sizes) + 8


def _aligned(count: int) -> np.ndarray:
    """Float32 [count] that begins with a cache line, as the vectors of the kernels like it."""
    room = np.empty(count + 16, np.float32)
    first = -room.ctypes.data // 4 % 16
    return room[first : first + count]
