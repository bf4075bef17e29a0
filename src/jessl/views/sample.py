"""Parameters of views, drawn without looking at any pixel.

Every number is a hash of (seed, epoch, view, image id, position of the draw), so a view is the
same whatever the order of the images, the batch, the thread, the rank or a restart. Compiled
kernels can compute the same hash.
"""

from __future__ import annotations

import math

import numpy as np

from jessl.hashing import GOLDEN, mix64
from jessl.views.recipe import View

Params = dict[str, np.ndarray]

# torchvision's RandomResizedCrop tries ten boxes before it takes the central one
_CROP_TRIES = 10
# draws of one view: two a try, two for the place, then one each for what follows
_DRAWS = 2 * _CROP_TRIES + 2 + 16


def uniforms(ids: np.ndarray, draws: int, *key: int) -> np.ndarray:
    """Uniform numbers in [0, 1): float64 [n, draws], a pure function of each id and the key."""
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what a hash wants
        state = np.zeros(1, np.uint64)
        for part in key:
            state = mix64((state ^ np.uint64(part & (2**64 - 1))) + GOLDEN)
        rows = mix64((ids.astype(np.int64).view(np.uint64) ^ state) + GOLDEN)
        steps = np.arange(1, draws + 1, dtype=np.uint64) * GOLDEN
        bits = mix64(rows[:, None] + steps[None, :])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def sample_view(
    view: View,
    ids: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    *,
    seed: int,
    epoch: int,
    position: int,
) -> Params:
    """Parameters of one view of n images.

    Args:
        view: the recipe.
        ids: int64 [n], stable ids of the images.
        heights, widths: int [n], sizes of the images, pixels.
        seed, epoch: what else the draw depends on.
        position: which view of the image this is, 0, 1, ...

    Returns:
        Arrays of length n; units stand in the names: crop_top_px, crop_left_px, crop_height_px,
        crop_width_px (int64), flipped, grayed, solarized (bool), brightness_factor,
        contrast_factor, saturation_factor (1 = unchanged), hue_shift (turns of the hue circle,
        0 = unchanged), jitter_order (int64 [n, 4]: which of brightness 0, contrast 1,
        saturation 2, hue 3 comes first, second, ...), blur_sigma_px (0 = no blur).
    """
    u = uniforms(ids, _DRAWS, seed, epoch, position)
    crop, rest = u[:, : 2 * _CROP_TRIES + 2], u[:, 2 * _CROP_TRIES + 2 :]
    params = _crop_box(view, crop, heights, widths)
    params["flipped"] = rest[:, 0] < view.flip

    jittered = rest[:, 1] < view.jitter
    for k, (name, reach) in enumerate(
        (
            ("brightness_factor", view.brightness),
            ("contrast_factor", view.contrast),
            ("saturation_factor", view.saturation),
        )
    ):
        low, high = max(0.0, 1.0 - reach), 1.0 + reach
        params[name] = np.where(jittered, low + (high - low) * rest[:, 2 + k], 1.0)
    params["hue_shift"] = np.where(jittered, view.hue * (2 * rest[:, 5] - 1), 0.0)
    # ranks of four independent uniforms are a uniformly random order
    params["jitter_order"] = np.argsort(rest[:, 6:10], axis=1)

    params["grayed"] = rest[:, 10] < view.gray
    low, high = view.blur_sigma_px
    sigma = low + (high - low) * rest[:, 12]
    params["blur_sigma_px"] = np.where(rest[:, 11] < view.blur, sigma, 0.0)
    params["solarized"] = rest[:, 13] < view.solarize
    return params


def _crop_box(view: View, u: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> Params:
    """Boxes with torchvision's distribution: area uniform, log of the aspect ratio uniform."""
    h = np.asarray(heights, np.float64)[:, None]
    w = np.asarray(widths, np.float64)[:, None]
    area = h * w * (view.min_scale + (view.max_scale - view.min_scale) * u[:, :_CROP_TRIES])
    low, high = math.log(view.min_ratio), math.log(view.max_ratio)
    ratio = np.exp(low + (high - low) * u[:, _CROP_TRIES : 2 * _CROP_TRIES])
    box_w = np.rint(np.sqrt(area * ratio))
    box_h = np.rint(np.sqrt(area / ratio))
    fits = (box_w > 0) & (box_w <= w) & (box_h > 0) & (box_h <= h)
    first = fits.argmax(axis=1)
    rows = np.arange(len(u))
    crop_h, crop_w = box_h[rows, first], box_w[rows, first]

    # no box fitted: the largest central one whose aspect ratio is allowed
    h, w = h[:, 0], w[:, 0]
    ratio_in = w / h
    fall_w = np.where(ratio_in > view.max_ratio, np.rint(h * view.max_ratio), w)
    fall_h = np.where(ratio_in < view.min_ratio, np.rint(w / view.min_ratio), h)
    none = ~fits.any(axis=1)
    crop_h = np.where(none, np.maximum(fall_h, 1), crop_h)
    crop_w = np.where(none, np.maximum(fall_w, 1), crop_w)
    top = np.floor(u[:, 2 * _CROP_TRIES] * (h - crop_h + 1))
    left = np.floor(u[:, 2 * _CROP_TRIES + 1] * (w - crop_w + 1))
    top = np.where(none, (h - crop_h) // 2, top)
    left = np.where(none, (w - crop_w) // 2, left)
    return {
        "crop_top_px": top.astype(np.int64),
        "crop_left_px": left.astype(np.int64),
        "crop_height_px": crop_h.astype(np.int64),
        "crop_width_px": crop_w.astype(np.int64),
    }
