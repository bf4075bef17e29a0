"""Colours of a line of pixels, in torchvision's float semantics, compiled.

A line is one float32 [n] array for each channel, values in [0, 1], changed in place. There are no
branches on pixels, so that the compiler generates vector code.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FAST = {"contract", "reassoc", "nsz", "arcp", "nnan", "ninf"}

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0, 1, 2, 3

# torchvision's weights of red, green and blue in grey
_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
_ZERO, _HALF, _ONE, _TWO, _FOUR = (np.float32(v) for v in (0.0, 0.5, 1.0, 2.0, 4.0))
_THREE, _SIX, _SIXTH = np.float32(3.0), np.float32(6.0), np.float32(1.0 / 6.0)


@njit(nogil=True, fastmath=_FAST)
def _brighten(v: np.ndarray, factor: np.float32) -> None:
    for i in range(len(v)):
        v[i] = min(max(v[i] * factor, _ZERO), _ONE)


@njit(nogil=True, fastmath=_FAST)
def _contrast(v: np.ndarray, factor: np.float32, mean: np.float32) -> None:
    rest = (_ONE - factor) * mean
    for i in range(len(v)):
        v[i] = min(max(v[i] * factor + rest, _ZERO), _ONE)


@njit(nogil=True, fastmath=_FAST)
def _saturate(r: np.ndarray, g: np.ndarray, b: np.ndarray, factor: np.float32) -> None:
    other = _ONE - factor
    for i in range(len(r)):
        rest = other * (_RED * r[i] + _GREEN * g[i] + _BLUE * b[i])
        r[i] = min(max(r[i] * factor + rest, _ZERO), _ONE)
        g[i] = min(max(g[i] * factor + rest, _ZERO), _ONE)
        b[i] = min(max(b[i] * factor + rest, _ZERO), _ONE)


@njit(nogil=True, fastmath=_FAST)
def _turn_hue(r: np.ndarray, g: np.ndarray, b: np.ndarray, shift: np.float32) -> None:
    """Exact rotation in HSV: value and chroma stay, the hue circle is linear in six sextants."""
    turn = shift * _SIX
    for i in range(len(r)):
        red, green, blue = r[i], g[i], b[i]
        top = max(red, max(green, blue))
        low = min(red, min(green, blue))
        chroma = top - low
        share = _ONE / (chroma if chroma > _ZERO else _ONE)
        hue = _FOUR + (red - green) * share
        hue = _TWO + (blue - red) * share if green == top else hue
        hue = (green - blue) * share if red == top else hue
        hue += turn
        hue -= _SIX * np.floor(hue * _SIXTH)
        r[i] = low + chroma * min(max(abs(hue - _THREE) - _ONE, _ZERO), _ONE)
        g[i] = low + chroma * min(max(_TWO - abs(hue - _TWO), _ZERO), _ONE)
        b[i] = low + chroma * min(max(_TWO - abs(hue - _FOUR), _ZERO), _ONE)


@njit(nogil=True, fastmath=_FAST)
def lose_colour(r: np.ndarray, g: np.ndarray, b: np.ndarray) -> None:
    """Grey in all three channels."""
    for i in range(len(r)):
        v = _RED * r[i] + _GREEN * g[i] + _BLUE * b[i]
        r[i] = v
        g[i] = v
        b[i] = v


@njit(nogil=True, fastmath=_FAST)
def _sum(v: np.ndarray) -> np.float32:
    total = _ZERO
    for i in range(len(v)):
        total += v[i]
    return total


@njit(nogil=True)
def grey_sum(
    lines: np.ndarray, y: int, n: int, channels: int, colour: tuple[int, int, int]
) -> float:
    """Sum of the grey of line y of a view [c, lines, ...].

    Grey is that of red, green and blue where there are no other channels, else the mean of all.
    """
    if channels == 3 and colour[0] >= 0:
        return float(
            0.2989 * _sum(lines[colour[0], y, :n])
            + 0.587 * _sum(lines[colour[1], y, :n])
            + 0.114 * _sum(lines[colour[2], y, :n])
        )
    total = 0.0
    for c in range(channels):
        total += float(_sum(lines[c, y, :n]))
    return total / channels


@njit(nogil=True)
def jitter_line(
    lines: np.ndarray,
    y: int,
    n: int,
    channels: int,
    colour: tuple[int, int, int],
    kinds: np.ndarray,
    factors: np.ndarray,
    mean: np.float32,
) -> None:
    """Apply `kinds` of jitter, in order, to line y; `mean`: the mean grey, for contrast.

    Saturation and hue need `colour`, the channels that are red, green and blue.
    """
    red, green, blue = colour
    for kind in kinds:
        factor = np.float32(factors[kind])
        if kind == BRIGHTNESS:
            for c in range(channels):
                _brighten(lines[c, y, :n], factor)
        elif kind == CONTRAST:
            for c in range(channels):
                _contrast(lines[c, y, :n], factor, mean)
        elif red >= 0 and kind == SATURATION:
            _saturate(lines[red, y, :n], lines[green, y, :n], lines[blue, y, :n], factor)
        elif red >= 0:
            _turn_hue(lines[red, y, :n], lines[green, y, :n], lines[blue, y, :n], factor)


@njit(nogil=True, fastmath=_FAST)
def solarize_line(v: np.ndarray) -> None:
    """Invert pixels at or above one half."""
    for i in range(len(v)):
        v[i] = _ONE - v[i] if v[i] >= _HALF else v[i]


@njit(nogil=True, fastmath=_FAST)
def normalise_line(v: np.ndarray, scale: np.float32, offset: np.float32, out: np.ndarray) -> None:
    """out = scale v + offset."""
    for i in range(len(v)):
        out[i] = v[i] * scale + offset


@njit(nogil=True, fastmath=_FAST)
def round_line(v: np.ndarray, out: np.ndarray) -> None:
    """Values in [0, 1] to the nearest of 0..255: uint8."""
    for i in range(len(v)):
        out[i] = np.uint8(min(max(v[i], _ZERO), _ONE) * np.float32(255.0) + _HALF)
