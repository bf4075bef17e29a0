"""Crop and resize: antialiased bilinear, compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jessl.views.kernels.simd import resample_block, spread_pixels

_FAST = {"contract", "reassoc", "nsz", "arcp"}


@njit(nogil=True, inline="never")
def taps_of(length: int, size: int) -> int:
    """Taps of each output pixel when `length` pixels become `size`."""
    return min(length, math.ceil(2.0 * max(length / size, 1.0)))


@njit(nogil=True)
def weigh(
    length: int,
    size: int,
    taps: int,
    mirrored: bool,
    total_weight: float,
    starts: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Fill the first input pixel and the weights of each output pixel: [size], [size, taps].

    A triangle as wide as the larger of an input and an output pixel, cut at the crop and
    normalised to `total_weight`, as in Pillow and torchvision with antialias=True. All pixels have
    the same number of taps; surplus ones have weight 0. `mirrored` reverses the output.
    """
    scale = length / size
    reach = max(scale, 1.0)
    for i in range(size):
        centre = (i + 0.5) * scale
        begin = max(0, int(centre - reach + 0.5))
        begin = min(begin, length - taps)
        o = size - 1 - i if mirrored else i
        starts[o] = begin
        total = 0.0
        for k in range(taps):
            w = 1.0 - abs(begin + k + 0.5 - centre) / reach
            w = max(w, 0.0)
            weights[o * taps + k] = w
            total += w
        total = total_weight / total
        for k in range(taps):
            weights[o * taps + k] *= total


@njit(nogil=True, fastmath=_FAST)
def _sum4(
    w: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, out: np.ndarray
) -> None:
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for i in range(len(a)):
        out[i] = (
            w0 * np.float32(a[i])
            + w1 * np.float32(b[i])
            + w2 * np.float32(c[i])
            + w3 * np.float32(d[i])
        )


@njit(nogil=True, fastmath=_FAST)
def _sum2(w: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    w0, w1 = w[0], w[1]
    for i in range(len(a)):
        out[i] = w0 * np.float32(a[i]) + w1 * np.float32(b[i])


@njit(nogil=True, fastmath=_FAST)
def _sum3(w: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
    w0, w1, w2 = w[0], w[1], w[2]
    for i in range(len(a)):
        out[i] = w0 * np.float32(a[i]) + w1 * np.float32(b[i]) + w2 * np.float32(c[i])


@njit(nogil=True, fastmath=_FAST)
def _sum1(w: np.ndarray, a: np.ndarray, out: np.ndarray) -> None:
    w0 = w[0]
    for i in range(len(a)):
        out[i] = w0 * np.float32(a[i])


@njit(nogil=True, fastmath=_FAST)
def _add2(w: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    w0, w1 = w[0], w[1]
    for i in range(len(a)):
        out[i] += w0 * np.float32(a[i]) + w1 * np.float32(b[i])


@njit(nogil=True, fastmath=_FAST)
def _add1(w: np.ndarray, a: np.ndarray, out: np.ndarray) -> None:
    w0 = w[0]
    for i in range(len(a)):
        out[i] += w0 * np.float32(a[i])


@njit(nogil=True)
def sum_rows(rows: np.ndarray, top: int, at: int, end: int, w: np.ndarray, out: np.ndarray) -> None:
    """out = sum of w[k] rows[top + k, at:end] over the taps with a weight."""
    first, last = 0, len(w)
    while last > 1 and w[last - 1] == 0:
        last -= 1
    while first < last - 1 and w[first] == 0:
        first += 1
    n = last - first
    k = top + first
    v = w[first:last]
    if n == 1:
        _sum1(v, rows[k, at:end], out)
        return
    if n == 2:
        _sum2(v, rows[k, at:end], rows[k + 1, at:end], out)
        return
    if n == 3:
        _sum3(v, rows[k, at:end], rows[k + 1, at:end], rows[k + 2, at:end], out)
        return
    _sum4(v, rows[k, at:end], rows[k + 1, at:end], rows[k + 2, at:end], rows[k + 3, at:end], out)
    done = 4
    while done + 2 <= n:
        _add2(v[done:], rows[k + done, at:end], rows[k + done + 1, at:end], out)
        done += 2
    if done < n:
        _add1(v[done:], rows[k + done, at:end], out)


@njit(nogil=True)
def crop_resize(
    rows: np.ndarray,
    unit: float,
    channels: int,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    mirrored: tuple[bool, bool],
    scratch: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
    first: int,
    stride: int,
    plane: int,
) -> None:
    """Crop `box` (top, left, height, width) of an image and resize it to `size` (height, width).

    Args:
        rows: uint8 or uint16 [h, w channels], the image.
        unit: factor of its values: white becomes 1.
        mirrored: up and down, left and right.
        scratch: float32, `crop_floats` of them; places: int32, height and width of the result
            rounded up to four.
        out: float32, flat, in [0, 1]; channel c of pixel (y, x) goes to first + c plane + y stride
            + x. Rows and columns up to the next multiple of four are written, too.
    """
    top, left, height, width = box
    tall, wide = size
    across = -(-wide // 4) * 4
    taps_y, taps_x = taps_of(height, tall), taps_of(width, wide)
    n = width * channels
    # the block first: its vectors are cache lines where the scratch begins with one
    block = scratch[: 16 * width]
    o = 16 * width
    # one vector holds four channels; with more of them, four rows wait for the next four channels
    kept = 1 if channels <= 4 else 4
    kept_rows = scratch[o : o + kept * (n + 4)]
    o += kept * (n + 4)
    weights_y = scratch[o : o + tall * taps_y]
    o += tall * taps_y
    weights_x = scratch[o : o + across * taps_x]
    starts_y, starts_x = places[:tall], places[tall : tall + across]
    weigh(height, tall, taps_y, mirrored[0], unit, starts_y, weights_y)
    weigh(width, wide, taps_x, mirrored[1], 1.0, starts_x, weights_x)
    starts_x[wide:] = 0
    weights_x[wide * taps_x :] = 0
    for y in range(0, tall, 4):
        for r in range(min(4, tall - y)):
            w = weights_y[(y + r) * taps_y : (y + r + 1) * taps_y]
            at = (r % kept) * (n + 4)
            row = kept_rows[at : at + n + 4]
            sum_rows(
                rows,
                top + starts_y[y + r],
                left * channels,
                (left + width) * channels,
                w,
                row,
            )
            spread_pixels(row, channels, width, block, r)
        for c in range(0, channels, 4):
            if c > 0:  # the first four are there
                for r in range(min(4, tall - y)):
                    spread_pixels(kept_rows[r * (n + 4) + c :], channels, width, block, r)
            resample_block(
                block,
                starts_x,
                weights_x,
                taps_x,
                across,
                out,
                first + c * plane + y * stride,
                stride,
                plane,
                channels - c,
            )


def crop_floats(height: int, width: int, channels: int, size: int) -> int:
    """Floats of scratch for a crop of at most height x width to at most size x size."""
    block = 16 * width + (1 if channels <= 4 else 4) * (width * channels + 4)
    # taps of all rows, and of all columns rounded up to four: of one column four times the width
    return block + 2 * (height + size) + 8 * width + 2 * (size + 4) + 16
