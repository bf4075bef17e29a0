"""Gaussian blur with reflected borders, row by row, compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jessl.views.kernels.simd import strided_sum, symmetric_sum

# taps beyond this many sigmas have 6e-5 of the kernel's weight
_REACH_SIGMAS = 4.0


@njit(nogil=True)
def blur_weights(sigma: float, kernel_px: int, size: int, weights: np.ndarray) -> int:
    """Fill weights[0], [1], ... of the middle tap and its neighbours; return their number.

    The kernel is cut to the widest that reflection allows, 2 size - 1 taps, and to taps with a
    weight, and normalised.
    """
    half = min(kernel_px // 2, size - 1)
    reach = min(half, math.ceil(_REACH_SIGMAS * sigma))
    total = 1.0
    for k in range(1, reach + 1):
        total += 2.0 * math.exp(-0.5 * (k / sigma) ** 2)
    for k in range(reach + 1):
        weights[k] = math.exp(-0.5 * (k / sigma) ** 2) / total
    return reach


@njit(nogil=True)
def _reflected(place: int, size: int) -> int:
    place = abs(place)
    return 2 * (size - 1) - place if place >= size else place


@njit(nogil=True)
def blur_row(
    planes: np.ndarray,
    first: int,
    stride: int,
    y: int,
    size: int,
    weights: np.ndarray,
    reach: int,
    offsets: np.ndarray,
    line: np.ndarray,
) -> None:
    """Write row y of a blurred channel into line[:size].

    Args:
        planes: float32, flat; pixel (y, x) of the channel is planes[first + y stride + x].
        weights, reach: from `blur_weights`.
        offsets: int32 [2 size], scratch; line: float32 [4 size + 96], scratch.
    """
    # the row, blurred along y, with its reflected borders on both sides
    middle = (size + 47 + reach) // 16 * 16
    if reach <= y < size - reach:
        strided_sum(planes, first + y * stride, stride, weights, reach, line, middle, size)
    else:
        before, behind = offsets[:size], offsets[size : 2 * size]
        for k in range(reach + 1):
            before[k] = first + _reflected(y - k, size) * stride
            behind[k] = first + _reflected(y + k, size) * stride
        symmetric_sum(planes, before, behind, weights, reach, line, middle, size)
    for k in range(1, reach + 1):
        line[middle - k] = line[middle + _reflected(-k, size)]
        line[middle + size - 1 + k] = line[middle + _reflected(size - 1 + k, size)]
    strided_sum(line, middle, 1, weights, reach, line, 0, size)
