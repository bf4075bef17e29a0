"""Images with all their bands and bits: `bands:PATH[@BANDS][#COLOUR]`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jessl.core.hashing import checksum
from jessl.core.sampling import linspace_indices
from jessl.core.validation import unknown_name
from jessl.data.decode.bands import BandHeader, band_header, stored_bands, to_unsigned
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import UnreadableImage
from jessl.data.decode.value_range import MOST_BANDS
from jessl.data.sources.base import Bands, Source
from jessl.data.sources.relabel import SourceWithLabels

# files whose headers are read to find the number of bands
_SAMPLE = 64
_CHOICE = re.compile(r"(?P<path>.+?)(?:@(?P<bands>[\w.,-]+))?(?:#(?P<colour>[\w.,-]+))?", re.DOTALL)


@dataclass(frozen=True)
class BandChoice:
    """`PATH[@BANDS][#COLOUR]` of `bands:`.

    Attributes:
        path: the images.
        names: bands to read, in their order; None: all.
        colour: names of the bands that are red, green and blue; empty: none are; None: not stated.
    """

    path: str
    names: tuple[str, ...] | None = None
    colour: tuple[str, ...] | None = None


def parse_choice(text: str) -> BandChoice:
    """The parts of `PATH[@BANDS][#COLOUR]`; a path that exists as it is written has no parts.

    Example:
        >>> parse_choice("tiles/{name}_B{band}.tif@02,03,04#04,03,02").names
        ('02', '03', '04')

    Raises:
        ValueError: for bands named twice, or a colour that is not three bands or `none`.
    """
    if Path(text).expanduser().exists():
        return BandChoice(text)
    match = _CHOICE.fullmatch(text)
    if match is None:
        raise ValueError(f"data: expected bands:PATH[@BANDS][#COLOUR], got 'bands:{text}'")
    bands, colour = match["bands"], match["colour"]
    names = None if bands is None else tuple(bands.split(","))
    if names is not None and (len(set(names)) < len(names) or "" in names):
        raise ValueError(f"bands: expected each band once, got {bands!r}")
    if colour in (None, "none"):
        return BandChoice(match["path"], names, None if colour is None else ())
    coloured = tuple(colour.split(","))
    if len(coloured) != 3 or len(set(coloured)) < 3:
        raise ValueError(
            f"colour: expected the bands of red, green and blue (#4,3,2) or none, got {colour!r}"
        )
    return BandChoice(match["path"], names, coloured)


def chosen_bands(
    choice: BandChoice, present: Sequence[str], source: str, *, is_photo: bool
) -> tuple[Bands, list[int]]:
    """The bands that are read, and their positions among those that are present.

    Args:
        choice: of the user.
        present: names of all bands.
        source: what messages call the images.
        is_photo: whether three bands are red, green and blue unless the choice says otherwise.

    Raises:
        ValueError: for a name that no band has, or a number of bands outside 1..16.
    """
    names = tuple(present) if choice.names is None else choice.names
    for name in (*names, *(choice.colour or ())):
        if name not in present:
            raise ValueError(f"{source}: {unknown_name('band', name, list(present))}")
    if not 1 <= len(names) <= MOST_BANDS:
        raise ValueError(
            f"data: {source}: expected 1 to {MOST_BANDS} bands, got {len(names)}; choose some of "
            f"them: @{','.join(names[:3])}"
        )
    left_out = [name for name in choice.colour or () if name not in names]
    if left_out:
        raise ValueError(f"colour: {source}: band {left_out[0]} is not among those that are read")
    if choice.colour is not None:
        colour = tuple(names.index(name) for name in choice.colour)
    else:
        colour = (0, 1, 2) if is_photo and names == tuple(present) and len(names) == 3 else ()
    return Bands(names, colour), [present.index(name) for name in names]


def colour_note(bands: Bands) -> str:
    """The line on which operations of views act on which bands."""
    number = f"{len(bands.names)} band{'s' * (len(bands.names) > 1)} ({', '.join(bands.names)})"
    if not bands.colour:
        return (
            f"{number}, none of them named as colour: saturation, hue and grayscale change nothing"
        )
    red, green, blue = (bands.names[k] for k in bands.colour)
    return f"{number}: saturation, hue and grayscale change {red}, {green} and {blue} only"


class BandSource(SourceWithLabels):
    """Another source of files or arrays, read with all its bands and bits.

    All images have the same number of bands: that of most of up to 64 evenly spaced files. Others
    are unreadable, with their number.

    Args:
        source: the files; an array must keep its bits (`ArraySource(keep_bits=True)`).
        choice: which bands, and which of them are colours.
        packed: the bands of a packed folder, which names them; None: they are numbered.

    Raises:
        ValueError: for a band that does not exist.
        UnreadableImage: where none of the sampled files can be read.
    """

    def __init__(self, source: Source, choice: BandChoice, packed: Bands | None = None) -> None:
        super().__init__(source, source.labels, source.classes)
        self._count = self._count_bands() if source.bands is None else len(source.bands.names)
        present = [str(k + 1) for k in range(self._count)]
        is_named = packed is not None and len(packed.names) == self._count
        if packed is not None and is_named:
            present = list(packed.names)
            names = present if choice.names is None else choice.names
            colour = tuple(present[k] for k in packed.colour)
            if choice.colour is None and colour and set(colour) <= set(names):
                choice = replace(choice, colour=colour)
        self.bands, self._picked = chosen_bands(choice, present, source.name, is_photo=not is_named)
        self._picks_all = self._picked == list(range(self._count))
        self.notes = (*source.notes, f"{source.name}: {colour_note(self.bands)}")

    def _count_bands(self) -> int:
        counts: Counter[int] = Counter()
        first: UnreadableImage | None = None
        for index in linspace_indices(len(self.source), _SAMPLE).tolist():
            try:
                counts[self._header(index).bands] += 1
            except UnreadableImage as error:
                first = first or error
        if not counts:
            assert first is not None
            raise ValueError(
                f"data: none of the sampled images of {self.name} can be read; first {first}"
            )
        return counts.most_common(1)[0][0]

    def read(self, index: int) -> np.ndarray:
        if self.source.bands is not None:
            return self._pick(self.source.read(index))
        stored = self._stored(index)
        stored = replace(stored, values=self._pick(stored.values))
        return to_unsigned(stored, self.where(index), self.value_range)

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        rows = self.source.rows(indices)
        return None if rows is None else self._pick(rows)

    def size(self, index: int) -> tuple[int, int]:
        if self.source.bands is not None:
            return self.source.size(index)
        header = self._header(index)
        return header.height, header.width

    def sizes(self, sample: int = 64) -> tuple[np.ndarray, np.ndarray]:
        return super().sizes(sample) if self.source.bands is None else self.source.sizes(sample)

    def facts(self, index: int) -> FileFacts:
        if self.source.bands is not None:
            return self.source.facts(index)
        return FileFacts(deep=self._header(index).deep)

    def stored_values(self, index: int) -> StoredValues | None:
        if self.source.bands is not None:
            return self.source.stored_values(index)
        stored = self._stored(index)
        if stored.values.dtype == np.uint8:
            return None
        return replace(stored, values=self._pick(stored.values))

    def fingerprint(self) -> str:
        names = () if self.bands is None else self.bands.names
        return checksum(self.source.fingerprint(), "bands", ",".join(names), *self.range_key())

    def _stored(self, index: int) -> StoredValues:
        where = self.where(index)
        encoded = self.source.encoded(index)
        assert encoded is not None
        stored = stored_bands(encoded, where)
        bands = stored.values.shape[2]
        if bands != self._count:
            raise UnreadableImage(where, f"{bands} bands, where most images have {self._count}")
        return stored

    def _header(self, index: int) -> BandHeader:
        encoded = self.source.encoded(index)
        assert encoded is not None
        return band_header(encoded, self.where(index))

    def _pick(self, values: np.ndarray) -> np.ndarray:
        return values if self._picks_all else np.ascontiguousarray(values[..., self._picked])
