"""What a few images of a source show that reading them leaves out: unused range, bands, pages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jessl.core.sampling import linspace_indices
from jessl.data.decode.image import UnreadableImage
from jessl.data.decode.value_range import SIXTEEN_BITS
from jessl.data.sources.arrays import ArraySource
from jessl.data.sources.base import Source

# images whose headers are read
_SAMPLE = 64
# values that are looked at in all of them together
_MOST_VALUES = 1 << 26
# images that use no more than this share of the range are nearly black
_DARK_SHARE = 1 / 8
# values of all sampled images that lie within this share of the range are hardly distinguishable
_NARROW_SHARE = 1 / 32


def sample_notes(source: Source) -> tuple[str, ...]:
    """Lines on up to 64 evenly spaced images; pixels are read where there are more than 8 bits."""
    deep: list[int] = []
    bands: list[tuple[int, int]] = []
    pages: list[int] = []
    indices = linspace_indices(len(source), _SAMPLE).tolist()
    for index in indices:
        try:
            facts = source.facts(index)
        except UnreadableImage:
            continue  # reported when all images are read
        if facts.deep:
            deep.append(index)
        if facts.bands_left_out:
            bands.append((index, facts.bands_left_out))
        if facts.has_more_pages:
            pages.append(index)
    notes = _range_notes(source, deep, len(indices))
    sampled = f"of {_images(len(indices))} sampled"
    if bands:
        index, left_out = bands[0]
        notes.append(
            f"{len(bands)} {sampled} {_have(bands)} bands beside grey or red, green and blue, "
            f"which are left out (bands:PATH reads them); the first is {source.where(index)} "
            f"({left_out} left out)"
        )
    if pages:
        notes.append(
            f"{len(pages)} {sampled} {_have(pages)} several pages or frames, of which the first is "
            f"read; the first is {source.where(pages[0])}"
        )
    return tuple(f"{source.name}: {note}" for note in notes)


def _range_notes(source: Source, deep: list[int], sampled: int) -> list[str]:
    """Whether the sampled images use little of the range, or more than it."""
    chosen = source.value_range
    if not deep:
        if chosen is None:
            return _dark_bytes(source)
        return [
            f"bits and range have no effect: none of {_images(sampled)} sampled has more than 8 "
            "bits a channel"
        ]
    measured, smallest, largest, white = 0, np.inf, -np.inf, 65535.0
    outside: list[tuple[int, float, float]] = []
    dark = True
    for index, low, high, of_file in _extremes(source, deep):
        measured += 1
        smallest = min(smallest, low)
        if high > largest:
            largest, white = high, of_file
        if chosen is None:
            dark = dark and high <= of_file * _DARK_SHARE
            # white is unknown in a file that says itself what is black and white
            is_narrow = largest - smallest <= max(of_file, 0.0) * _NARROW_SHARE
            if not dark and not is_narrow:
                return []
        elif low < chosen.low or high > chosen.high:
            outside.append((index, low, high))
    if not measured:
        return []
    notes = []
    if chosen is not None:
        # 16 bits, where they are asked for, are meant as they are
        dark = (
            chosen != SIXTEEN_BITS
            and largest <= chosen.low + (chosen.high - chosen.low) * _DARK_SHARE
        )
        white = chosen.high
    if dark:
        notes.append(
            f"nearly black: the largest value of {_images(measured)} sampled is "
            f"{_number(largest)}, where {_number(white)} is white; {_remedy(largest)}"
        )
    elif chosen is None and smallest < largest:
        low_high = f"{_plain(smallest)} {_plain(largest)}"
        notes.append(
            f"almost one grey: the values of {_images(measured)} sampled lie in "
            f"{_number(smallest)}..{_number(largest)}, where {_number(white)} is white; --range "
            f"{low_high} (value_range=({low_high.replace(' ', ', ')})) makes these ends black and "
            "white"
        )
    if outside:
        index, low, high = outside[0]
        notes.append(
            f"{len(outside)} of {_images(measured)} sampled {_have(outside)} values outside "
            f"{chosen}, which are clipped; the first is {source.where(index)} "
            f"({_number(low)}..{_number(high)})"
        )
    return notes


def _dark_bytes(source: Source) -> list[str]:
    """Whether an array of 8 bits holds small numbers, such as 0 and 1, rather than 0..255."""
    if not isinstance(source, ArraySource):
        return []
    largest, indices = 0, linspace_indices(len(source), _SAMPLE).tolist()
    for index in indices:
        largest = max(largest, int(source.read(index).max()))
        if largest > 255 * _DARK_SHARE:
            return []
    if not largest:
        return []
    return [
        f"nearly black: the largest value of {_images(len(indices))} sampled is {largest}, where "
        f"255 is white; (x * (255 / {largest})).round().astype('uint8') makes {largest} white"
    ]


def _extremes(source: Source, deep: list[int]) -> Iterator[tuple[int, float, float, float]]:
    """Index, smallest and largest value, and white of the file, of readable images."""
    count = 0
    for index in deep:
        try:
            stored = source.stored_values(index)
        except UnreadableImage:
            continue
        if stored is None:
            continue
        # a DICOM file says itself what is black and white
        white = -np.inf if stored.low != 0 or stored.inverted else stored.white
        yield index, float(stored.values.min()), float(stored.values.max()), white
        count += stored.values.size
        if count > _MOST_VALUES:
            return


def _remedy(largest: float) -> str:
    """The option that makes values up to `largest` visible."""
    if largest > 255 and largest.is_integer():
        bits = int(largest).bit_length()
        return (
            f"--bits {bits} (bits={bits}) makes {2**bits - 1:,} white, --range LOW HIGH any value"
        )
    high = _number(max(largest, 1))
    return f"--range 0 {high} (value_range=(0, {high})) makes {high} white"


def _images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def _have(some: list[int] | list[tuple[int, int]] | list[tuple[int, float, float]]) -> str:
    return "has" if len(some) == 1 else "have"


def _plain(value: float) -> str:
    """As the command line takes it."""
    return f"{value:.10g}"


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"
