"""Mean and standard deviation of each band of images, in one pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jessl.core.progress import ProgressCallback
from jessl.core.resources import usable_cores
from jessl.core.sampling import linspace_indices
from jessl.data.decode.image import UnreadableImage
from jessl.data.sources.base import Source

# images beyond which evenly spaced ones are taken: the mean of a band is then known to a
# hundredth of its spread between images
_MOST_IMAGES = 10_000
_CHUNK_IMAGES = 64
_WHITE = 65535


def band_statistics(
    source: Source, *, most: int = _MOST_IMAGES, progress: ProgressCallback | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, for a normalisation.

    Each image is read once. Memory is that of a few images. Sums are exact integers, so that
    neither the order nor the number of threads changes the result.

    Example:
        views = presets.simclr(32).normalised(*band_statistics(source))

    Args:
        source: the images, uint8 or uint16; unreadable ones are left out.
        most: evenly spaced images that are read where there are more.
        progress: called with (images done, images in all).

    Returns:
        (mean, standard deviation), in units of the pixel range [0, 1] as `Views` takes them. The
        deviation of a constant band is 1.

    Raises:
        ValueError: where no image can be read.
    """
    indices = linspace_indices(len(source), most)
    count = 0
    first: list[int] = []
    second: list[int] = []
    error: UnreadableImage | None = None
    with ThreadPoolExecutor(min(16, usable_cores())) as pool:
        for start in range(0, len(indices), _CHUNK_IMAGES):
            some = indices[start : start + _CHUNK_IMAGES].tolist()
            for sums in pool.map(lambda index: _sums(source, index), some):
                if isinstance(sums, UnreadableImage):
                    error = error or sums
                    continue
                pixels, once, squared = sums
                count += pixels
                first = [a + b for a, b in zip(first or [0] * len(once), once, strict=True)]
                second = [a + b for a, b in zip(second or [0] * len(once), squared, strict=True)]
            if progress is not None:
                progress(min(start + _CHUNK_IMAGES, len(indices)), len(indices))
    if not count:
        raise ValueError(f"not one image of {source.name} can be read; first {error}")
    # of exact integers: no cancellation
    variances = [(count * b - a * a) / count**2 for a, b in zip(first, second, strict=True)]
    mean = tuple(a / count / _WHITE for a in first)
    return mean, tuple(float(np.sqrt(v)) / _WHITE if v else 1.0 for v in variances)


def _sums(source: Source, index: int) -> tuple[int, list[int], list[int]] | UnreadableImage:
    """Pixels of an image, and sums and sums of squares of its channels, in 1/65535 of the range."""
    try:
        image = source.read(index)
    except UnreadableImage as error:
        return error
    factor = 257 if image.dtype == np.uint8 else 1
    flat = image.reshape(-1, image.shape[2])
    once, squared = np.zeros(flat.shape[1], np.uint64), np.zeros(flat.shape[1], np.uint64)
    for start in range(0, len(flat), 1 << 18):
        block = flat[start : start + (1 << 18)].astype(np.uint64)
        once += block.sum(axis=0)
        squared += (block * block).sum(axis=0)
    return (
        len(flat),
        [factor * int(s) for s in once],
        [factor * factor * int(s) for s in squared],
    )
