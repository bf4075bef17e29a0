"""Faults that show in the pixels: dark, bright, blurred, constant, odd sizes and aspects."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.core.resources import usable_cores
from jessl.data import Source, UnreadableImage

KINDS = ("constant", "dark", "bright", "blurred", "odd size", "odd aspect")
# of white: the 99th percentile of a dark image is below, the 5th of a bright one above
DARK, BRIGHT = 0.25, 0.95
# levels of 255 between the 1st and 99th percentile
_CONSTANT = 2.0
# robust standard deviations of the logarithm below the pool's median sharpness
BLURRED = 4.0
_SIZE_FACTOR, _ASPECT_FACTOR = 4.0, 2.5
_SIDE_PX = 256
_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class ImageFaults:
    """Faulty images.

    Attributes:
        rows: int64 [m], one entry a fault, ordered by kind and strength; kinds: its name.
        values: float64 [m]: the 99th or 5th percentile of brightness, 0 to 1; robust standard
            deviations of sharpness; the side or the aspect divided by the median.
        checked: images that were read.
        unreadable: place -> reason.
    """

    rows: NDArray[np.int64]
    kinds: Sequence[str]
    values: NDArray[np.float64]
    checked: int
    unreadable: dict[str, str]


def find_image_faults(
    images: Source,
    index: NDArray[np.int64],
    *,
    progress: ProgressCallback = lambda _done, _all: None,
    workers: int | None = None,
) -> ImageFaults:
    """Read the images once and list the faulty ones.

    Brightness and sharpness are those of the image reduced to at most 256 pixels by strides.
    Sharpness is the spread of the differences of neighbouring pixels, divided by the spread of the
    pixels, so that faint images are not blurred ones; blurred, odd size and odd aspect are relative
    to the pool: where all images are so, none is listed.

    Args:
        images: the source; index: int64 [n], the image of each row.
        progress: called with (images read, n).
        workers: threads that decode; None: the cores that this process may use.
    """
    n = len(index)
    measured = np.full((n, 6), np.nan)
    unreadable: dict[str, str] = {}

    def measure(row: int) -> str | None:
        try:
            measured[row] = _measures(images.read(int(index[row])))
        except UnreadableImage as error:
            return error.reason
        return None

    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        for start in range(0, n, _TOGETHER):
            rows = range(start, min(start + _TOGETHER, n))
            for row, reason in zip(rows, pool.map(measure, rows), strict=True):
                if reason is not None:
                    unreadable[images.where(int(index[row]))] = reason
            progress(rows.stop, n)
    read = np.flatnonzero(~np.isnan(measured[:, 0]))
    faulty: list[NDArray[np.int64]] = []
    kinds: list[str] = []
    values: list[NDArray[np.float64]] = []
    for kind, (flags, value, strength) in _flags(measured[read]).items():
        at = np.flatnonzero(flags)
        at = at[np.argsort(strength[at], kind="stable")]
        faulty.append(read[at])
        values.append(value[at])
        kinds += [kind] * len(at)
    return ImageFaults(
        np.concatenate(faulty), tuple(kinds), np.concatenate(values), len(read), unreadable
    )


def _measures(image: NDArray[np.uint8]) -> tuple[float, float, float, float, float, float]:
    """Percentiles 1, 5 and 99 of brightness (0 to 255), sharpness, height and width in pixels."""
    height, width = image.shape[:2]
    stride = max(1, -(-max(height, width) // _SIDE_PX))
    # brightness by all pixels would cost more than decoding
    some = image[::stride, ::stride]
    grey = some[:, :, :3].mean(axis=2) if some.shape[2] >= 3 else some[:, :, 0].astype(np.float64)
    low, fifth, high = np.percentile(grey, (1, 5, 99))
    spread = grey.std()
    steps = [np.diff(grey, axis=axis) for axis in (0, 1)]
    power = np.mean([(step**2).mean() if step.size else 0.0 for step in steps])
    sharpness = float(np.sqrt(power) / spread) if spread > 0 else 0.0
    return float(low), float(fifth), float(high), sharpness, float(height), float(width)


_Flags = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]


def _flags(measured: NDArray[np.float64]) -> dict[str, _Flags]:
    """For each kind (is it so, the value to show, what it is sorted by)."""
    low, fifth, high, sharp, height, width = measured.T
    constant = high - low < _CONSTANT
    varied = ~constant
    side, aspect = np.sqrt(height * width), np.log(width / height)
    size_ratio, aspect_ratio = side / _middle(side), aspect - _middle(aspect)
    logs = np.log(np.maximum(sharp, 1e-6))
    usual = logs[varied] if varied.any() else logs
    spread = 1.4826 * _middle(np.abs(usual - _middle(usual)))
    score = (logs - _middle(usual)) / spread if spread > 1e-9 else np.zeros(len(logs))
    off = np.abs(np.log(size_ratio)), np.abs(aspect_ratio)
    return {
        "constant": (constant, (high - low) / 255, high - low),
        "dark": (varied & (high < 255 * DARK), high / 255, high),
        "bright": (varied & (fifth > 255 * BRIGHT), fifth / 255, -fifth),
        "blurred": (varied & (score < -BLURRED), score, score),
        "odd size": (off[0] > np.log(_SIZE_FACTOR), size_ratio, -off[0]),
        "odd aspect": (off[1] > np.log(_ASPECT_FACTOR), np.exp(aspect_ratio), -off[1]),
    }


def _middle(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else 1.0
