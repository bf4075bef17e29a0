"""Sampling the parameters of views by a hash, compiled; see jessl.views.sampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit, uint64

from jessl.core.compiled import entry
from jessl.views.params import COLUMN

# columns of a recipe as the kernels read it: see jessl.views.sampling.recipe_row
(
    R_CROP,
    R_MIN_SCALE,
    R_MAX_SCALE,
    R_LOG_MIN_RATIO,
    R_LOG_MAX_RATIO,
    R_CROP_SHARE,
    R_APART,
    R_FLIP,
    R_VFLIP,
    R_ROTATE,
    R_DEGREES,
    R_TRANSLATE,
    R_SHIFT,
    R_JITTER,
    R_BRIGHTNESS,
    R_CONTRAST,
    R_SATURATION,
    R_HUE,
    R_GRAY,
    R_BLUR,
    R_SIGMA_LOW,
    R_SIGMA_HIGH,
    R_SOLARIZE,
    R_NOISE,
    R_NOISE_LOW,
    R_NOISE_HIGH,
    R_ERASE,
    R_ERASE_LOW,
    R_ERASE_HIGH,
    R_ERASE_LOG_LOW,
    R_ERASE_LOG_HIGH,
    R_SIZE,
) = range(32)
RANDOM, CENTER, CORNER, PAD = range(4)

# torchvision's RandomResizedCrop and RandomErasing try ten boxes
_TRIES = 10
# numbers of the draws in the stream of a view; a number is never reused for another draw
_AREA, _RATIO, _TOP, _LEFT, _FLIP, _JITTER, _FACTORS, _HUE, _ORDER = (
    0,
    10,
    20,
    21,
    22,
    23,
    24,
    27,
    28,
)
_GRAY, _BLUR, _SIGMA, _SOLARIZE, _VFLIP, _ROTATE, _ANGLE = 32, 33, 34, 35, 36, 37, 38
_TRANSLATE, _DOWN, _RIGHT, _NOISE, _NOISE_SIGMA, _NOISE_SEED = 39, 40, 41, 42, 43, 44
_ERASE, _ERASE_AREA, _ERASE_RATIO, _ERASE_TOP, _ERASE_LEFT, _CORNER = 45, 46, 56, 66, 67, 68
_APART_TOP, _APART_LEFT = 70, 80

C_TOP, C_LEFT = COLUMN["crop_top_px"], COLUMN["crop_left_px"]
C_HEIGHT, C_WIDTH = COLUMN["crop_height_px"], COLUMN["crop_width_px"]
C_PLACE = COLUMN["place_top_px"]
C_APART = COLUMN["apart"]
C_FLIP, C_VFLIP = COLUMN["flipped"], COLUMN["vflipped"]
C_ANGLE = COLUMN["rotation_degrees"]
C_DOWN, C_RIGHT = COLUMN["shift_down_px"], COLUMN["shift_right_px"]
C_FACTORS, C_HUE = COLUMN["brightness_factor"], COLUMN["hue_shift"]
C_ORDER = COLUMN["jitter_order_0"]
C_GRAY, C_SIGMA, C_SOLARIZE = COLUMN["grayed"], COLUMN["blur_sigma_px"], COLUMN["solarized"]
C_NOISE, C_SEED, C_SHARED = (COLUMN[f"noise_{name}"] for name in ("sigma", "seed", "shared"))
C_ERASE = COLUMN["erase_top_px"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = (np.uint64(k) for k in (30, 27, 31, 11))
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@njit(nogil=True)
def mix(x: np.uint64) -> np.uint64:
    """jessl.core.hashing.mix64 of one number."""
    x = (x ^ (x >> _SHIFT_30)) * _MIX_1
    x = (x ^ (x >> _SHIFT_27)) * _MIX_2
    return x ^ (x >> _SHIFT_31)


@njit(nogil=True)
def _bits(row: np.uint64, k: int) -> np.uint64:
    return mix(row + uint64(k + 1) * _GOLDEN)


@njit(nogil=True)
def _uniform(row: np.uint64, k: int) -> float:
    return float(_bits(row, k) >> _SHIFT_11) * 2.0**-53


@njit(nogil=True)
def _between(row: np.uint64, k: int, low: float, high: float) -> float:
    return low + (high - low) * _uniform(row, k)


@njit(nogil=True)
def _set_box(p: np.ndarray, top: float, left: float, height: float, width: float) -> None:
    p[C_TOP], p[C_LEFT], p[C_HEIGHT], p[C_WIDTH] = top, left, height, width


@njit(nogil=True)
def _tried_box(r: np.ndarray, row: np.uint64, k: int, h: float, w: float) -> tuple[float, float]:
    """Height and width of try k: area uniform, log of the aspect ratio uniform."""
    area = h * w * _between(row, _AREA + k, r[R_MIN_SCALE], r[R_MAX_SCALE])
    ratio = math.exp(_between(row, _RATIO + k, r[R_LOG_MIN_RATIO], r[R_LOG_MAX_RATIO]))
    return float(np.rint(math.sqrt(area / ratio))), float(np.rint(math.sqrt(area * ratio)))


@njit(nogil=True)
def _random_box(p: np.ndarray, r: np.ndarray, row: np.uint64, h: float, w: float) -> None:
    """A box with torchvision's distribution and its fallback, the largest central one."""
    for k in range(_TRIES):
        height, width = _tried_box(r, row, k, h, w)
        if 0 < height <= h and 0 < width <= w:
            top = math.floor(_uniform(row, _TOP) * (h - height + 1))
            left = math.floor(_uniform(row, _LEFT) * (w - width + 1))
            _set_box(p, top, left, height, width)
            return
    _fitted_box(p, r, 0.0, 0.0, h, w)


@njit(nogil=True)
def _fitted_box(p: np.ndarray, r: np.ndarray, top: float, left: float, h: float, w: float) -> None:
    """The largest box of an allowed aspect ratio in the middle of a rectangle."""
    low, high = math.exp(r[R_LOG_MIN_RATIO]), math.exp(r[R_LOG_MAX_RATIO])
    height, width = h, w
    if w / h > high:
        width = max(float(np.rint(h * high)), 1.0)
    elif w / h < low:
        height = max(float(np.rint(w / low)), 1.0)
    _set_box(p, top + (h - height) // 2, left + (w - width) // 2, height, width)


@njit(nogil=True)
def _box_apart(
    p: np.ndarray, r: np.ndarray, row: np.uint64, h: float, w: float, other: np.ndarray
) -> None:
    """A random box that does not overlap that of another view, where there is room."""
    top_0, left_0, height_0, width_0 = other[C_TOP], other[C_LEFT], other[C_HEIGHT], other[C_WIDTH]
    bottom_0, right_0 = top_0 + height_0, left_0 + width_0
    p[C_APART] = 1.0
    for k in range(_TRIES):
        height, width = _tried_box(r, row, k, h, w)
        if 0 < height <= h and 0 < width <= w:
            top = math.floor(_uniform(row, _APART_TOP + k) * (h - height + 1))
            left = math.floor(_uniform(row, _APART_LEFT + k) * (w - width + 1))
            if (
                top >= bottom_0
                or top + height <= top_0
                or left >= right_0
                or left + width <= left_0
            ):
                _set_box(p, top, left, height, width)
                return
    above, below, before, behind = top_0 * w, (h - bottom_0) * w, left_0 * h, (w - right_0) * h
    most = max(max(above, below), max(before, behind))
    if most <= 0:
        p[C_APART] = 0.0
        _random_box(p, r, row, h, w)
    elif above == most:
        _fitted_box(p, r, 0.0, 0.0, top_0, w)
    elif below == most:
        _fitted_box(p, r, bottom_0, 0.0, h - bottom_0, w)
    elif before == most:
        _fitted_box(p, r, 0.0, 0.0, h, left_0)
    else:
        _fitted_box(p, r, 0.0, right_0, h, w - right_0)


@njit(nogil=True)
def _square_box(p: np.ndarray, r: np.ndarray, row: np.uint64, h: float, w: float) -> None:
    """A square in the middle or in one of the four corners."""
    side = max(float(np.rint(min(h, w) * r[R_CROP_SHARE])), 1.0)
    if r[R_CROP] == CENTER:
        _set_box(p, (h - side) // 2, (w - side) // 2, side, side)
    else:
        corner = int(_uniform(row, _CORNER) * 4)
        top = h - side if corner >= 2 else 0.0
        left = w - side if corner % 2 else 0.0
        _set_box(p, top, left, side, side)


@njit(nogil=True)
def _whole_image(p: np.ndarray, h: float, w: float, size: float) -> None:
    """The whole image, its aspect kept, in the middle of the view."""
    _set_box(p, 0.0, 0.0, h, w)
    height = max(float(np.rint(size * min(1.0, h / w))), 1.0)
    width = max(float(np.rint(size * min(1.0, w / h))), 1.0)
    p[C_PLACE], p[C_PLACE + 1] = (size - height) // 2, (size - width) // 2
    p[C_PLACE + 2], p[C_PLACE + 3] = height, width


@njit(nogil=True)
def _draw_colour(p: np.ndarray, r: np.ndarray, row: np.uint64) -> None:
    if _uniform(row, _JITTER) < r[R_JITTER]:
        for k in range(3):
            reach = r[R_BRIGHTNESS + k]
            p[C_FACTORS + k] = _between(row, _FACTORS + k, max(0.0, 1.0 - reach), 1.0 + reach)
        p[C_HUE] = r[R_HUE] * (2.0 * _uniform(row, _HUE) - 1.0)
    # ranks of four independent uniforms are a uniformly random order
    for kind in range(4):
        u = _uniform(row, _ORDER + kind)
        place = 0
        for other in range(4):
            v = _uniform(row, _ORDER + other)
            if v < u or (v == u and other < kind):
                place += 1
        p[C_ORDER + place] = kind
    p[C_GRAY] = _uniform(row, _GRAY) < r[R_GRAY]
    if _uniform(row, _BLUR) < r[R_BLUR]:
        p[C_SIGMA] = _between(row, _SIGMA, r[R_SIGMA_LOW], r[R_SIGMA_HIGH])
    p[C_SOLARIZE] = _uniform(row, _SOLARIZE) < r[R_SOLARIZE]
    if _uniform(row, _NOISE) < r[R_NOISE]:
        p[C_NOISE] = _between(row, _NOISE_SIGMA, r[R_NOISE_LOW], r[R_NOISE_HIGH])
        p[C_SEED] = float(_bits(row, _NOISE_SEED) >> _SHIFT_11)


@njit(nogil=True)
def _draw_erasing(p: np.ndarray, r: np.ndarray, row: np.uint64) -> None:
    """A rectangle with torchvision's distribution; none when ten tries do not fit."""
    size = r[R_SIZE]
    for k in range(_TRIES):
        area = size * size * _between(row, _ERASE_AREA + k, r[R_ERASE_LOW], r[R_ERASE_HIGH])
        ratio = math.exp(_between(row, _ERASE_RATIO + k, r[R_ERASE_LOG_LOW], r[R_ERASE_LOG_HIGH]))
        height = float(np.rint(math.sqrt(area * ratio)))
        width = float(np.rint(math.sqrt(area / ratio)))
        if 0 < height < size and 0 < width < size:
            p[C_ERASE] = math.floor(_uniform(row, _ERASE_TOP) * (size - height + 1))
            p[C_ERASE + 1] = math.floor(_uniform(row, _ERASE_LEFT) * (size - width + 1))
            p[C_ERASE + 2], p[C_ERASE + 3] = height, width
            return


@njit(nogil=True)
def _draw_view(
    table: np.ndarray, recipes: np.ndarray, row: np.uint64, k: int, i: int, h: float, w: float
) -> None:
    """View k of image i."""
    r, p = recipes[k], table[k, i]
    kind = r[R_CROP]
    if kind == RANDOM:
        if r[R_APART] >= 0:
            _box_apart(p, r, row, h, w, table[int(r[R_APART]), i])
        else:
            _random_box(p, r, row, h, w)
    elif kind == PAD:
        _whole_image(p, h, w, r[R_SIZE])
    else:
        _square_box(p, r, row, h, w)
    p[C_FLIP] = _uniform(row, _FLIP) < r[R_FLIP]
    p[C_VFLIP] = _uniform(row, _VFLIP) < r[R_VFLIP]
    if _uniform(row, _ROTATE) < r[R_ROTATE]:
        p[C_ANGLE] = r[R_DEGREES] * (2.0 * _uniform(row, _ANGLE) - 1.0)
    if _uniform(row, _TRANSLATE) < r[R_TRANSLATE]:
        span = 2.0 * r[R_SHIFT] + 1.0
        p[C_DOWN] = math.floor(_uniform(row, _DOWN) * span) - r[R_SHIFT]
        p[C_RIGHT] = math.floor(_uniform(row, _RIGHT) * span) - r[R_SHIFT]
    _draw_colour(p, r, row)
    if _uniform(row, _ERASE) < r[R_ERASE]:
        _draw_erasing(p, r, row)


def build(fingerprint: int) -> Callable[..., None]:
    """Compile `draw_views`, or load it from the cache; see `jessl.views.kernels.render.build`."""

    @entry("void(f8[:,:,::1], f8[:,::1], u8[::1], i8[::1], i8[::1], i8[::1], i8, i8)")
    def draw_views(
        table: np.ndarray,
        recipes: np.ndarray,
        states: np.ndarray,
        ids: np.ndarray,
        heights: np.ndarray,
        widths: np.ndarray,
        start: int,
        stop: int,
    ) -> None:
        """Fill rows start..stop-1 of a table [k, n, columns] whose rows are neutral."""
        if fingerprint == 0:
            return
        for i in range(start, stop):
            for k in range(len(recipes)):
                row = mix((uint64(ids[i]) ^ states[k]) + _GOLDEN)
                _draw_view(table, recipes, row, k, i, float(heights[i]), float(widths[i]))

    return draw_views
