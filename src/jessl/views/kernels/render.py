"""Rendering one view of images: all operations of `View` in order, compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit, uint64

from jessl.core.compiled import entry
from jessl.views.kernels import draw as d
from jessl.views.kernels.blur import blur_row, blur_weights
from jessl.views.kernels.colour import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    grey_sum,
    jitter_line,
    lose_colour,
    normalise_line,
    round_line,
    solarize_line,
)
from jessl.views.kernels.crop import crop_floats, crop_resize
from jessl.views.kernels.warp import place_into, rotate, translate

# outputs: normalised float32 views; uint8 views without normalisation; uint8 crops, for which a
# GPU does all that follows the flips
NORMALISED, BYTES, CROPS = range(3)

_LANE_MASK, _LANE_BITS = np.uint64(0xFFFF), np.uint64(16)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# pixels of a line: three channels of this many fit the first-level cache
_LINE = 1024


@njit(nogil=True)
def planes_of(channels: int, size: int) -> tuple[int, int, int]:
    """Scratch planes of a view, their rows and stride, with room for vectors beyond the edges."""
    return max(4, channels), -(-size // 4) * 4, -(-size // 16) * 16


@njit(nogil=True)
def line_floats(size: int) -> int:
    """Floats of scratch for a blur, in whole cache lines."""
    return (5 * size + 160) // 16 * 16


def scratch_floats(height: int, width: int, channels: int, size: int) -> int:
    """Float32 scratch that `render_views` needs for images up to height x width x channels."""
    planes, rows, stride = planes_of(channels, size)
    area = planes * rows * stride
    return 2 * area + line_floats(size) + crop_floats(height, width, channels, size)


@njit(nogil=True)
def _crop(
    image: np.ndarray,
    p: np.ndarray,
    size: int,
    fill: float,
    planes: np.ndarray,
    spare: np.ndarray,
    scratch: np.ndarray,
    places: np.ndarray,
) -> None:
    """Crop, resize, place and flip into `planes` [planes, rows, stride], values in [0, 1]."""
    h, w, channels = image.shape
    box = (int(p[d.C_TOP]), int(p[d.C_LEFT]), int(p[d.C_HEIGHT]), int(p[d.C_WIDTH]))
    mirrored = (p[d.C_VFLIP] != 0, p[d.C_FLIP] != 0)
    placed = p[d.C_PLACE + 2] > 0
    height = int(p[d.C_PLACE + 2]) if placed else size
    width = int(p[d.C_PLACE + 3]) if placed else size
    target = spare if placed else planes
    crop_resize(
        image.reshape((h, w * channels)),
        1.0 / 255.0 if image.itemsize == 1 else 1.0 / 65535.0,
        channels,
        box,
        (height, width),
        mirrored,
        scratch,
        places,
        target.ravel(),
        0,
        target.shape[2],
        target.shape[1] * target.shape[2],
    )
    if placed:
        top, left = int(p[d.C_PLACE]), int(p[d.C_PLACE + 1])
        if mirrored[0]:
            top = size - top - height
        if mirrored[1]:
            left = size - left - width
        place_into(spare, channels, size, (top, left, height, width), fill, planes)


@njit(nogil=True)
def _jitter(
    lines: np.ndarray,
    count: int,
    n: int,
    channels: int,
    colour: tuple[int, int, int],
    p: np.ndarray,
    kinds: np.ndarray,
) -> None:
    """Colour jitter and grayscale of `count` lines of n pixels; `kinds`: int64 [4], scratch.

    `colour`: the channels that are red, green and blue; negative: none are.
    """
    red, green, blue = colour
    factors = p[d.C_FACTORS : d.C_FACTORS + 4]
    many, contrast_at = 0, -1
    for k in range(4):
        kind = int(p[d.C_ORDER + k])
        active = factors[kind] != (0.0 if kind == HUE else 1.0)
        if active and (red >= 0 or kind in (BRIGHTNESS, CONTRAST)):
            if kind == CONTRAST:
                contrast_at = many
            kinds[many] = kind
            many += 1
    first = max(contrast_at, 0)
    mean = np.float32(0.0)
    if contrast_at >= 0:
        total = 0.0
        for y in range(count):
            jitter_line(lines, y, n, channels, colour, kinds[:first], factors, mean)
            total += grey_sum(lines, y, n, channels, colour)
        mean = np.float32(total / (count * n))
    grayed = red >= 0 and p[d.C_GRAY] != 0
    if many == first and not grayed:
        return
    for y in range(count):
        jitter_line(lines, y, n, channels, colour, kinds[first:many], factors, mean)
        if grayed:
            lose_colour(lines[red, y, :n], lines[green, y, :n], lines[blue, y, :n])


@njit(nogil=True)
def _add_noise(
    v: np.ndarray, first: int, sigma: float, seed: np.uint64, normals: np.ndarray
) -> None:
    """Add the noise of elements first, first + 1, ...; see jessl.views.noise."""
    bits = uint64(0)
    for i in range(len(v)):
        e = first + i
        if i == 0 or e % 4 == 0:
            bits = d.mix(seed + uint64(e // 4 + 1) * _GOLDEN)
        lane = (bits >> (_LANE_BITS * uint64(e % 4))) & _LANE_MASK
        v[i] = min(max(v[i] + np.float32(sigma) * normals[lane], np.float32(0)), np.float32(1))


@njit(nogil=True)
def _finish(
    lines: np.ndarray,
    count: int,
    n: int,
    size: int,
    channels: int,
    p: np.ndarray,
    kernel_px: int,
    mean: np.ndarray,
    std: np.ndarray,
    mode: int,
    line: np.ndarray,
    offsets: np.ndarray,
    normals: np.ndarray,
    floats: np.ndarray,
    bytes_: np.ndarray,
) -> None:
    """Blur, solarize, noise and normalise lines into floats or bytes_ [c, size * size]."""
    weights = line[4 * size + 96 :]
    reach = 0
    if p[d.C_SIGMA] > 0:
        reach = blur_weights(p[d.C_SIGMA], kernel_px, size, weights)
    seed = uint64(p[d.C_SEED])
    outputs = len(floats) if mode == NORMALISED else len(bytes_)
    flat = lines.ravel()
    stride = lines.shape[2]
    plane = lines.shape[1] * stride
    for c in range(channels):
        for y in range(count):
            v = lines[c, y, :n]
            at = y * n
            if reach > 0:
                blur_row(flat, c * plane, stride, y, size, weights, reach, offsets, line)
                v = line[:size]
            if p[d.C_SOLARIZE] != 0:
                solarize_line(v)
            if p[d.C_NOISE] > 0:
                drawn_at = at if p[d.C_SHARED] != 0 else c * size * size + at
                _add_noise(v, drawn_at, p[d.C_NOISE], seed, normals)
            # a grey image becomes three equal channels
            for o in range(c, outputs if channels == 1 else c + 1):
                if mode == NORMALISED:
                    scale = np.float32(1.0) / std[o]
                    normalise_line(v, scale, -mean[o] * scale, floats[o, at : at + n])
                else:
                    round_line(v, bytes_[o, at : at + n])


@njit(nogil=True)
def _erase(p: np.ndarray, mean: np.ndarray, floats: np.ndarray, bytes_: np.ndarray) -> None:
    """Fill a rectangle of a view [c, size, size], normalised or not, with the mean colour."""
    top, left = int(p[d.C_ERASE]), int(p[d.C_ERASE + 1])
    bottom, right = top + int(p[d.C_ERASE + 2]), left + int(p[d.C_ERASE + 3])
    for y in range(top, bottom):
        for o in range(len(floats)):
            floats[o, y, left:right] = np.float32(0.0)
        for o in range(len(bytes_)):
            bytes_[o, y, left:right] = np.uint8(mean[o] * 255.0 + 0.5)


def build(fingerprint: int, pixel: str = "u1") -> Callable[..., None]:
    """Compile `render_views`, or load it from the cache.

    Args:
        pixel: "u1" for images of 8 bits, "u2" for those of 16.
        fingerprint: hash of the kernels' sources. numba's cache checks this file and the values
            that the function closes over; with the hash, changes elsewhere compile anew.
    """

    @entry(
        f"void({pixel}[:,:,:,::1], i8, f8[:,::1], UniTuple(i8, 3), f8, i8, f4[::1], f4[::1], i8,"
        "f4[::1], i4[::1], f4[::1], f4[:,:,:,::1], u1[:,:,:,::1])"
    )
    def render_views(
        images: np.ndarray,
        first: int,
        table: np.ndarray,
        colour: tuple[int, int, int],
        fill: float,
        kernel_px: int,
        mean: np.ndarray,
        std: np.ndarray,
        mode: int,
        scratch: np.ndarray,
        places: np.ndarray,
        normals: np.ndarray,
        floats: np.ndarray,
        bytes_: np.ndarray,
    ) -> None:
        if fingerprint == 0:
            return
        channels = images.shape[3]
        size = floats.shape[3] if mode == NORMALISED else bytes_.shape[3]
        n_planes, rows, stride = planes_of(channels, size)
        area = n_planes * rows * stride
        planes = scratch[:area].reshape((n_planes, rows, stride))
        spare = scratch[area : 2 * area].reshape((n_planes, rows, stride))
        line_end = 2 * area + line_floats(size)
        line, rest = scratch[2 * area : line_end], scratch[line_end:]
        kinds = np.empty(4, np.int64)
        # colours do not depend on neighbours, so several rows without gaps can be one line
        together = 1
        if stride == size:
            while together * size < _LINE and size % (2 * together) == 0:
                together *= 2
        count, n = size // together, size * together
        for j in range(len(images)):
            p = table[first + j]
            _crop(images[j], p, size, fill, planes, spare, rest, places)
            now, other = planes, spare
            if mode != CROPS:
                if p[d.C_ANGLE] != 0:
                    rotate(now, channels, size, p[d.C_ANGLE], fill, other)
                    now, other = other, now
                if p[d.C_DOWN] != 0 or p[d.C_RIGHT] != 0:
                    down, right = int(p[d.C_DOWN]), int(p[d.C_RIGHT])
                    translate(now, channels, size, down, right, fill, other)
                    now, other = other, now
            view_floats = floats[first + j : first + j + 1].reshape((-1, size * size))
            view_bytes = bytes_[first + j : first + j + 1].reshape((-1, size * size))
            lines = now.reshape((n_planes, rows // together, stride * together))
            if mode != CROPS:
                _jitter(lines, count, n, channels, colour, p, kinds)
                if p[d.C_SIGMA] > 0:  # a blur depends on neighbours
                    lines = now
                _finish(
                    lines, size if p[d.C_SIGMA] > 0 else count, size if p[d.C_SIGMA] > 0 else n,
                    size, channels, p, kernel_px, mean, std, mode, line, places, normals,
                    view_floats, view_bytes,
                )  # fmt: skip
                if p[d.C_ERASE + 2] > 0 and mode == NORMALISED:
                    _erase(p, mean, floats[first + j], bytes_[0])
                elif p[d.C_ERASE + 2] > 0:
                    _erase(p, mean, floats[0], bytes_[first + j])
            else:
                for c in range(channels):
                    for y in range(count):
                        for o in range(c, len(view_bytes) if channels == 1 else c + 1):
                            round_line(lines[c, y, :n], view_bytes[o, y * n : (y + 1) * n])

    return render_views
