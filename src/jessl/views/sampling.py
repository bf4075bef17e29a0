"""Sampling the parameters of views, without reading any pixel.

Every number is a hash of (seed, epoch, view, image id, number of the draw), so a view does not
depend on the order of the images, the batch, the thread, the rank or a restart.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from jessl.core.hashing import GOLDEN, mix64
from jessl.views.params import neutral_table
from jessl.views.recipe import CROPS, View, ViewRecipes


def _state(*key: int) -> np.ndarray:
    """The hash's state for a key (seed, epoch, number of the view): uint64 [1]."""
    state = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for part in key:
            state = mix64((state ^ np.uint64(int(part) & (2**64 - 1))) + GOLDEN)
    return state


@lru_cache(maxsize=256)
def states(seed: int, epoch: int, count: int) -> np.ndarray:
    """The hash's state for each of `count` views in an epoch: uint64 [count]."""
    return np.concatenate([_state(seed, epoch, position) for position in range(count)])


def recipe_row(view: View) -> list[float]:
    """The recipe as numbers, in the order of `jessl.views.kernels.draw`."""
    return [
        CROPS.index(view.crop),
        view.min_scale,
        view.max_scale,
        math.log(view.min_ratio),
        math.log(view.max_ratio),
        view.crop_share,
        -1 if view.apart_from is None else view.apart_from,
        view.flip,
        view.vflip,
        view.rotate,
        view.rotate_degrees,
        view.translate,
        round(view.translate_share * view.size),
        view.jitter,
        view.brightness,
        view.contrast,
        view.saturation,
        view.hue,
        view.gray,
        view.blur,
        *view.blur_sigma_px,
        view.solarize,
        view.noise,
        *view.noise_sigma,
        view.erase,
        *view.erase_scale,
        *(math.log(ratio) for ratio in view.erase_ratio),
        view.size,
    ]


def recipe_rows(views: ViewRecipes) -> np.ndarray:
    """Float64 [k, numbers of a recipe]."""
    return np.array([recipe_row(view) for view in views.recipes], dtype=np.float64)


def sample_table(
    views: ViewRecipes,
    ids: npt.ArrayLike,
    epoch: int,
    seed: int,
    heights: npt.ArrayLike,
    widths: npt.ArrayLike,
) -> np.ndarray:
    """Sample k views of n images: float64 [k, n, columns], see `jessl.views.params`.

    Args:
        ids: int64 [n], stable ids of the images.
        epoch, seed: the draw depends on these and on the ids.
        heights, widths: int [n], or one for all: sizes of the images, pixels, at least 1.

    Raises:
        ValueError: for sizes below 1, or a number of sizes that differs from that of the ids.
    """
    from jessl.views.kernels import compiled

    ids = np.array(ids, np.int64)  # the kernels accept writable arrays only
    sizes = {}
    for name, pixels in (("heights", heights), ("widths", widths)):
        values = np.asarray(pixels, np.int64)
        if values.shape not in ((), ids.shape) or (values.size and values.min() < 1):
            raise ValueError(
                f"{name}: expected {len(ids)} numbers of pixels, at least 1 each, "
                f"got {values.tolist() if values.size < 5 else list(values.shape)}"
            )
        sizes[name] = np.broadcast_to(values, ids.shape).copy()
    table = neutral_table(len(views), len(ids))
    compiled().draw(
        table,
        recipe_rows(views),
        states(seed, epoch, len(views)),
        ids,
        sizes["heights"],
        sizes["widths"],
        0,
        len(ids),
    )
    return table
