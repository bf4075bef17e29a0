"""Rotation and translation of a crop, and its placement in a larger view; compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True)
def place_into(
    source: np.ndarray,
    channels: int,
    size: int,
    place: tuple[int, int, int, int],
    fill: float,
    out: np.ndarray,
) -> None:
    """Copy the crop into rectangle `place` (top, left, height, width); the rest is `fill`."""
    top, left, height, width = place
    for c in range(channels):
        for y in range(size):
            out[c, y, :size] = fill
        for y in range(height):
            out[c, top + y, left : left + width] = source[c, y, :width]


@njit(nogil=True)
def rotate(
    source: np.ndarray, channels: int, size: int, degrees: float, fill: float, out: np.ndarray
) -> None:
    """Rotate counter-clockwise about the centre, bilinear; outside is `fill`."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    middle = (size - 1) / 2.0
    fill32, one = np.float32(fill), np.float32(1.0)
    for y in range(size):
        for x in range(size):
            dx, dy = x - middle, y - middle
            from_x, from_y = cos * dx - sin * dy + middle, sin * dx + cos * dy + middle
            x0, y0 = math.floor(from_x), math.floor(from_y)
            ax, ay = np.float32(from_x - x0), np.float32(from_y - y0)
            x0, y0 = int(x0), int(y0)
            # weight of the four pixels inside; torchvision multiplies their sum by it once more
            inside = np.float32(0.0)
            for v in range(2):
                for u in range(2):
                    if 0 <= x0 + u < size and 0 <= y0 + v < size:
                        inside += (ay if v else one - ay) * (ax if u else one - ax)
            for c in range(channels):
                total = np.float32(0.0)
                for v in range(2):
                    for u in range(2):
                        if 0 <= x0 + u < size and 0 <= y0 + v < size:
                            weight = (ay if v else one - ay) * (ax if u else one - ax)
                            total += weight * source[c, y0 + v, x0 + u]
                out[c, y, x] = total * inside + (one - inside) * fill32


@njit(nogil=True)
def translate(
    source: np.ndarray,
    channels: int,
    size: int,
    down: int,
    right: int,
    fill: float,
    out: np.ndarray,
) -> None:
    """Shift by whole pixels; pixels from outside are `fill`."""
    for c in range(channels):
        for y in range(size):
            from_y = y - down
            if 0 <= from_y < size:
                for x in range(size):
                    from_x = x - right
                    inside = 0 <= from_x < size
                    out[c, y, x] = source[c, from_y, from_x] if inside else fill
            else:
                out[c, y, :size] = fill
