"""Gaussian blur with reflected borders, row by row, compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_FAST = {"contract", "reassoc", "nsz", "arcp"}

# what lies further out than this many sigmas weighs less than 1e-5 in all (3e-6 of a pixel)
_REACH_SIGMAS = 4.5


@njit(nogil=True)
def blur_weights(sigma: float, kernel_px: int, size: int, weights: np.ndarray) -> int:
    """Fill weights[0], [1], ... of the middle tap and its neighbours; the number of neighbours.

    The kernel is cut to the widest that reflection allows, 2 size - 1 taps, and where its taps
    weigh nothing; the taps are those of the whole kernel.
    """
    half = min(kernel_px // 2, size - 1)
    total = 0.0
    for k in range(half, 0, -1):
        total += 2.0 * math.exp(-0.5 * (k / sigma) ** 2)
    total += 1.0
    reach = min(half, int(math.ceil(_REACH_SIGMAS * sigma)))
    for k in range(reach + 1):
        weights[k] = math.exp(-0.5 * (k / sigma) ** 2) / total
    return reach


@njit(nogil=True, fastmath=_FAST)
def _begin(w: np.float32, a: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(a)):
        out[i] = w * a[i]


@njit(nogil=True, fastmath=_FAST)
def _begin3(
    w: np.float32, a: np.ndarray, w1: np.float32, b: np.ndarray, c: np.ndarray, out: np.ndarray
) -> None:
    for i in range(len(a)):
        out[i] = w * a[i] + w1 * (b[i] + c[i])


@njit(nogil=True, fastmath=_FAST)
def _add_pair(w: np.float32, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(a)):
        out[i] += w * (a[i] + b[i])


@njit(nogil=True, fastmath=_FAST)
def _add_pairs(
    w: np.float32,
    a: np.ndarray,
    b: np.ndarray,
    w1: np.float32,
    c: np.ndarray,
    d: np.ndarray,
    out: np.ndarray,
) -> None:
    for i in range(len(a)):
        out[i] += w * (a[i] + b[i]) + w1 * (c[i] + d[i])


@njit(nogil=True)
def _reflected(place: int, size: int) -> int:
    place = abs(place)
    return 2 * (size - 1) - place if place >= size else place


@njit(nogil=True)
def blur_row(
    plane: np.ndarray, y: int, size: int, w: np.ndarray, reach: int, row: np.ndarray, out: np.ndarray
) -> None:
    """Row y of the blurred channel plane [size, stride] into out [size].

    Args:
        w, reach: from `blur_weights`.
        row: float32 [size + 2 reach], scratch.
    """
    middle = row[reach : reach + size]
    if reach == 0:
        _begin(w[0], plane[y, :size], middle)
    else:
        above, below = _reflected(y - 1, size), _reflected(y + 1, size)
        _begin3(w[0], plane[y, :size], w[1], plane[above, :size], plane[below, :size], middle)
    k = 2
    while k + 1 <= reach:
        _add_pairs(
            w[k],
            plane[_reflected(y - k, size), :size],
            plane[_reflected(y + k, size), :size],
            w[k + 1],
            plane[_reflected(y - k - 1, size), :size],
            plane[_reflected(y + k + 1, size), :size],
            middle,
        )
        k += 2
    if k <= reach:
        _add_pair(
            w[k],
            plane[_reflected(y - k, size), :size],
            plane[_reflected(y + k, size), :size],
            middle,
        )
    for k in range(1, reach + 1):
        row[reach - k] = middle[_reflected(-k, size)]
        row[reach + size - 1 + k] = middle[_reflected(size - 1 + k, size)]
    if reach == 0:
        _begin(w[0], middle, out)
        return
    _begin3(w[0], middle, w[1], row[reach - 1 : reach - 1 + size], row[reach + 1 :], out)
    k = 2
    while k + 1 <= reach:
        _add_pairs(
            w[k],
            row[reach - k : reach - k + size],
            row[reach + k :],
            w[k + 1],
            row[reach - k - 1 : reach - k - 1 + size],
            row[reach + k + 1 :],
            out,
        )
        k += 2
    if k <= reach:
        _add_pair(w[k], row[reach - k : reach - k + size], row[reach + k :], out)
