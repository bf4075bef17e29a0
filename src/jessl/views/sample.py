"""Parameters of views, drawn without looking at any pixel.

Every number is a hash of (seed, epoch, view, image id, place of the draw), so a view is the same
whatever the order of the images, the batch, the thread, the rank or a restart.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from jessl.hashing import GOLDEN, mix64
from jessl.views.params import neutral_table
from jessl.views.recipe import CROPS, View, Views


def uniforms(ids: np.ndarray, draws: int, *key: int) -> np.ndarray:
    """Uniform numbers in [0, 1): float64 [n, draws], a pure function of each id and the key.

    The draws of a view are these, with the key (seed, epoch, number of the view).
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what a hash wants
        rows = mix64((ids.astype(np.int64).view(np.uint64) ^ _state(*key)) + GOLDEN)
        steps = np.arange(1, draws + 1, dtype=np.uint64) * GOLDEN
        bits = mix64(rows[:, None] + steps[None, :])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _state(*key: int) -> np.ndarray:
    """What a key makes of the hash: uint64 [1]."""
    state = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for part in key:
            state = mix64((state ^ np.uint64(part & (2**64 - 1))) + GOLDEN)
    return state


@lru_cache(maxsize=256)
def states(seed: int, epoch: int, count: int) -> np.ndarray:
    """The hash's states of `count` views in an epoch: uint64 [count]."""
    return np.concatenate([_state(seed, epoch, position) for position in range(count)])


def recipe_row(view: View) -> list[float]:
    """The recipe as numbers, in the order that `jessl.views.kernels.draw` gives them."""
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


def recipe_rows(views: Views) -> np.ndarray:
    """Float64 [k, numbers of a recipe]."""
    return np.array([recipe_row(view) for view in views.recipes], dtype=np.float64)


def sample_table(
    views: Views,
    ids: np.ndarray,
    epoch: int,
    seed: int,
    heights: np.ndarray,
    widths: np.ndarray,
) -> np.ndarray:
    """Parameters of k views of n images: float64 [k, n, columns], see `jessl.views.params`.

    Args:
        ids: int64 [n], stable ids of the images.
        epoch, seed: what the draw depends on besides the ids.
        heights, widths: int [n], sizes of the images, pixels, at least 1.
    """
    from jessl.views.kernels import compiled

    table = neutral_table(len(views), len(ids))
    compiled().draw(
        table,
        recipe_rows(views),
        states(seed, epoch, len(views)),
        np.ascontiguousarray(ids, np.int64),
        np.ascontiguousarray(heights, np.int64),
        np.ascontiguousarray(widths, np.int64),
        0,
        len(ids),
    )
    return table
