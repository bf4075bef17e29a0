"""Source: indexable images with stable ids, wherever they are stored."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from html import escape

import numpy as np

from jessl.core.sampling import linspace_indices
from jessl.core.texts import Texts
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import UnreadableImage
from jessl.data.decode.value_range import ValueRange


@dataclass(frozen=True)
class Bands:
    """The channels of images that keep all their bands and bits.

    Attributes:
        names: of the channels, 1 to 16.
        colour: the channels that are red, green and blue, on which saturation, hue and grayscale
            act; empty: none are.
        normalisation: mean and standard deviation of each channel that a training is to take,
            in units of the pixel range [0, 1]; None: those of its images.
    """

    names: tuple[str, ...]
    colour: tuple[int, ...] = ()
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def drawn(self) -> tuple[int, ...]:
        """The channels of a picture: red, green and blue, else the first three, or the first."""
        return self.colour or ((0, 1, 2) if len(self.names) >= 3 else (0,))


# images in a notebook
_SHOWN = 8


class Source(ABC):
    """Images that can be read by index, from many threads at once.

    Attributes:
        name: as the user wrote it, for messages and provenance.
        ids: int64 [n], unique and the same each time the source is opened: a 63-bit hash of the
            image's key in folders and shards, the row number in arrays.
        labels: int64 [n], -1 where missing; None when there are none at all.
        classes: names of the labels 0, 1, ...; None when they have no names.
        notes: lines for the user about what was left out or assumed.
        fast_decode: whether JPEG files are decoded faster and less exactly, see
            `jessl.data.decode.image.decode`; None where no files are decoded.
        value_range: which stored values are black and white in images of more than 8 bits a
            channel; None: 0 and 65535.
        bands: the channels where images keep all their bands and bits (`bands:PATH`); None: images
            are uint8, grey or RGB, and encoders take them as RGB.
        segments: int64 [n], the number of the shard that holds each image, so that data larger
            than memory can be read shard by shard; None where all images are equally near.
        groups: int64 [n]: images of one group (a patient, a camera) are never on both sides of a
            split; -1 where the group is unknown: such an image is a group by itself. None: no
            groups.
        groups_column: the column of a labels file that defines the groups; None without one.
    """

    name: str
    ids: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    fast_decode: bool | None = None
    value_range: ValueRange | None = None
    bands: Bands | None = None
    segments: np.ndarray | None = None
    groups: np.ndarray | None = None
    groups_column: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> np.ndarray:
        """Image `index` as `read` gives it; a negative index counts from the end.

        Example:
            >>> open_source("digits")[-1].shape
            (8, 8, 1)
        """
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"index: expected -{len(self)} .. {len(self) - 1}, got {index}")
        return self.read(place % len(self))

    def __repr__(self) -> str:
        known = () if self.labels is None else np.unique(self.labels[self.labels >= 0])
        classes = f", {len(known)} classes" if len(known) else ""
        return f"{type(self).__name__}({self.name!r}, {len(self):,} images{classes})"

    def _repr_html_(self) -> str:
        """The first images that can be read."""
        from jessl.core.image_grid import draw_grid, inline_picture

        shown: list[np.ndarray] = []
        for index in range(min(len(self), 2 * _SHOWN)):
            with suppress(UnreadableImage):
                shown.append(self.picture(index))
            if len(shown) == _SHOWN:
                break
        picture = inline_picture(draw_grid([shown])) if shown else ""
        return f"<p>{escape(repr(self))}</p>{picture}"

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Image `index` (0..n-1): uint8 [h, w, c], contiguous; the caller must not write into it.

        c is 1..4 in data sets; files give 1 or 3. With `bands` uint8 or uint16, of their number.

        Raises:
            UnreadableImage: when it cannot be decoded.
        """

    def picture(self, index: int) -> np.ndarray:
        """Image `index` for people: of bands the three that are red, green and blue.

        Where none are named as colour, the first three bands, or the only one.

        Returns:
            uint8 or uint16 [h, w, c], c up to 3 where there are bands.

        Raises:
            UnreadableImage: as `read`.
        """
        image = self.read(index)
        return image if self.bands is None else image[:, :, list(self.bands.drawn)]

    @abstractmethod
    def key(self, index: int) -> str:
        """The name of image `index` in its source and in a labels file.

        The path relative to the folder (with /), the key in a shard, or the row number.
        """

    def names(self, indices: np.ndarray | None = None) -> Texts:
        """The keys of the images at `indices` (int64 [m]), in their order; None: of all.

        Example:
            >>> list(open_source("digits").names(np.array([3, 0])))
            ['3', '0']
        """
        rows = range(len(self)) if indices is None else np.asarray(indices).tolist()
        return Texts.of(self.key(row) for row in rows)

    def index_of(self, ids: np.ndarray) -> np.ndarray:
        """The indices of the images with these ids: int64 [m], -1 where there is none.

        Example:
            >>> open_source("digits").index_of(np.array([3, 5000]))
            array([ 3, -1])
        """
        if not len(self):
            return np.full(len(ids), -1)
        order = np.argsort(self.ids, kind="stable")
        place = np.searchsorted(self.ids, ids, sorter=order).clip(max=len(self) - 1)
        index = order[place]
        return np.where(self.ids[index] == ids, index, -1)

    @abstractmethod
    def where(self, index: int) -> str:
        """The place of image `index`, for messages: a path, or "row 17 of x.npz"."""

    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when the images or labels change; cheap.

        Arrays are hashed by their bytes (above 64 MiB by evenly spaced rows), files by their keys
        and sizes in bytes.
        """

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        """Images at `indices` as `read` gives them, [m, h, w, c], if the source is one array.

        None where it is not.

        The fast path of a loader; the caller may write into the result.
        """
        return None

    def sizes(self, sample: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Heights and widths (int64, pixels) of up to `sample` evenly spaced images.

        Only file headers are read where there are files. Unreadable images are left out.

        Raises:
            UnreadableImage: when none of the sample can be read.
        """
        sizes: list[tuple[int, int]] = []
        first: UnreadableImage | None = None
        for index in linspace_indices(len(self), sample):
            try:
                sizes.append(self.size(int(index)))
            except UnreadableImage as error:
                first = first or error
        if not sizes and first is not None:
            raise first
        pairs = np.array(sizes, dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of image `index`, in pixels.

        Raises:
            UnreadableImage: when they cannot be read.
        """
        height, width = self.read(index).shape[:2]
        return height, width

    def encoded(self, index: int) -> bytes | None:
        """The encoded file of image `index`, unchanged; None where the source has no files.

        Raises:
            UnreadableImage: when it cannot be read.
        """
        return None

    def facts(self, index: int) -> FileFacts:
        """Whether image `index` has more than 8 bits, and bands or pages that are left out.

        Pixels of files are not decoded.

        Raises:
            UnreadableImage: when the header cannot be read.
        """
        return FileFacts()

    def stored_values(self, index: int) -> StoredValues | None:
        """The stored values of image `index`, where it has more than 8 bits; else None.

        Raises:
            UnreadableImage: as `read`.
        """
        return None

    def range_key(self) -> tuple[str, ...]:
        """What the value range adds to a fingerprint: nothing where there is none."""
        return () if self.value_range is None else (f"value_range {self.value_range}",)

    def find(self, key: str) -> str:
        """The key of the image that a user calls `key`: its path made relative, spaces removed."""
        return key.strip()
