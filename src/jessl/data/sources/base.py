"""Sources: indexable images with stable ids, whatever they lie in."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np

from jessl.core.hashing import splitmix64
from jessl.core.validation import escape_control
from jessl.data.decode.image import UnreadableImage


class Source(ABC):
    """Images that can be read by index, from many threads at once.

    Attributes:
        name: what the user gave, for messages and provenance.
        ids: int64 [n], unique and the same at every opening: a 63-bit hash of the key of an image
            in folders and shards, the row number in arrays.
        labels: int64 [n], -1 where missing; None when there are none at all.
        classes: names of the labels 0, 1, ...; None when they have no names.
        notes: lines that a user should be told about what was left out or assumed.
        fast_decode: whether JPEG files are decoded faster and less exactly, see
            `jessl.data.decode.image.decode`; None where no files are decoded.
        segments: int64 [n], the number of the shard in which an image lies, so that what is larger
            than memory can be read shard by shard; None where all images are equally near.
        groups: int64 [n]: images of one group (a patient, a camera) are never on both sides of a
            split; -1 where none is known, such an image is a group by itself. None: no groups.
        groups_column: the column of a file of labels that told the groups; None where none did.
    """

    name: str
    ids: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    fast_decode: bool | None = None
    segments: np.ndarray | None = None
    groups: np.ndarray | None = None
    groups_column: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Image `index` (0..n-1): uint8 [h, w, c], contiguous; not to be written into.

        c is 1..4 in arrays and data sets; files give 1 or 3.

        Raises:
            UnreadableImage: when it cannot be decoded.
        """

    @abstractmethod
    def key(self, index: int) -> str:
        """What image `index` is called in its source, and in a file of labels.

        The path relative to the folder (with /), the key in a shard, or the row number.
        """

    @abstractmethod
    def where(self, index: int) -> str:
        """Where image `index` lies, for messages: a path, or "row 17 of x.npz"."""

    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when the images or labels do; cheap.

        Arrays are hashed by their bytes (above 64 MiB by evenly spaced rows), files by their keys
        and sizes in bytes.
        """

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        """Images at `indices` as uint8 [m, h, w, c] when all are one array already, else None.

        The fast path of a loader; what comes back may be written into.
        """
        return None

    def sizes(self, sample: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Heights and widths (int64, pixels) of up to `sample` evenly spaced images.

        Only headers are read where there are headers. Unreadable images are left out.

        Raises:
            UnreadableImage: when not one of the sample can be read.
        """
        found: list[tuple[int, int]] = []
        first: UnreadableImage | None = None
        for index in linspace_indices(len(self), sample):
            try:
                found.append(self.size(int(index)))
            except UnreadableImage as error:
                first = first or error
        if not found and first is not None:
            raise first
        both = np.array(found, dtype=np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of image `index`, in pixels.

        Raises:
            UnreadableImage: when they cannot be read.
        """
        height, width = self.read(index).shape[:2]
        return height, width

    def encoded(self, index: int) -> bytes | None:
        """The file in which image `index` is encoded, as it is; None where there is none at hand.

        Raises:
            UnreadableImage: when it cannot be read.
        """
        return None

    def find(self, key: str) -> str:
        """The form in which `key` answers a name that a user wrote for an image of this source."""
        return key.strip()


class Subset(Source):
    """Some images of a source, in the order given; ids, labels and groups are those of the source.

    Args:
        source: where the images lie.
        indices: integers [m] in 0..n-1, each at most once.

    Raises:
        ValueError: for indices that are out of range, repeated or not integers.
    """

    def __init__(self, source: Source, indices: Any) -> None:
        rows = np.asarray(indices)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise ValueError(f"indices: integers [m] wanted, {rows.dtype} {list(rows.shape)} came")
        rows = rows.astype(np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(source)):
            raise ValueError(
                f"indices: 0..{len(source) - 1} are allowed in {source.name}, "
                f"{rows.min()}..{rows.max()} came"
            )
        if len(np.unique(rows)) != len(rows):
            raise ValueError(f"indices: each image at most once, {rows.size} came with repetitions")
        self.name = source.name
        self.source = source
        self.indices = rows
        self.ids = source.ids[rows]
        self.labels = None if source.labels is None else _none_if_missing(source.labels[rows])
        self.classes = None if self.labels is None else source.classes
        self.notes = source.notes
        self.segments = None if source.segments is None else source.segments[rows]
        if source.groups is not None and (source.groups[rows] != -1).any():
            self.groups = source.groups[rows]
            self.groups_column = source.groups_column

    def read(self, index: int) -> np.ndarray:
        return self.source.read(int(self.indices[index]))

    def key(self, index: int) -> str:
        return self.source.key(int(self.indices[index]))

    def where(self, index: int) -> str:
        return self.source.where(int(self.indices[index]))

    def size(self, index: int) -> tuple[int, int]:
        return self.source.size(int(self.indices[index]))

    def encoded(self, index: int) -> bytes | None:
        return self.source.encoded(int(self.indices[index]))

    def find(self, key: str) -> str:
        return self.source.find(key)

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        return self.source.rows(self.indices[indices])

    def fingerprint(self) -> str:
        return checksum(self.source.fingerprint(), self.indices)


class SourceWithLabels(Source):
    """A source with other labels, or other groups.

    Args:
        source: the images.
        labels: int64 [n], -1 where missing, or None.
        classes: names of the labels 0, 1, ..., or None.
        notes: lines to add to those of the source.
        groups: int64 [n], -1 where none is known; None: those of the source.
        groups_column: the column that told them.
    """

    def __init__(
        self,
        source: Source,
        labels: np.ndarray | None,
        classes: tuple[str, ...] | None,
        notes: tuple[str, ...] = (),
        groups: np.ndarray | None = None,
        groups_column: str | None = None,
    ) -> None:
        self.name = source.name
        self.source = source
        self.ids = source.ids
        self.labels = labels
        self.classes = classes
        self.notes = (*source.notes, *notes)
        self.segments = source.segments
        self._regrouped = groups is not None
        self.groups = groups if self._regrouped else source.groups
        self.groups_column = groups_column if self._regrouped else source.groups_column

    def read(self, index: int) -> np.ndarray:
        return self.source.read(index)

    def key(self, index: int) -> str:
        return self.source.key(index)

    def where(self, index: int) -> str:
        return self.source.where(index)

    def size(self, index: int) -> tuple[int, int]:
        return self.source.size(index)

    def encoded(self, index: int) -> bytes | None:
        return self.source.encoded(index)

    def find(self, key: str) -> str:
        return self.source.find(key)

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        return self.source.rows(indices)

    def fingerprint(self) -> str:
        groups = (self.groups,) if self._regrouped else ()
        return checksum(self.source.fingerprint(), self.labels, repr(self.classes), *groups)


def unlabelled(source: Source) -> Source:
    """A source without its labels: what a pretraining may see."""
    return SourceWithLabels(source, None, None)


def split_source(source: Source, share: float, seed: int) -> tuple[Subset, Subset]:
    """Divide a source at random into (rest, part).

    An image falls into `part` by a hash of its id and the seed, never by its place, so the same
    images do so in whatever order a source lists them. Both keep the order of the source.

    A group is never divided: it falls where the image with its smallest id would. `part` then gets
    whole groups, in the order drawn those that fit into round(share * n) images, which leaves room
    for fewer images than the smallest group of `rest` has. Where not one fits, it is the smallest.

    Args:
        source: the images.
        share: 0..1; without groups `part` gets exactly round(share * n) images.
        seed: another seed, another division.

    Raises:
        ValueError: when share is outside 0..1, or all images are one group.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: 0..1 is allowed, {share!r} came")
    drawn = splitmix64(
        source.ids.astype(np.uint64) ^ splitmix64(np.array([seed % 2**64], dtype=np.uint64))
    )
    order = np.lexsort((source.ids, drawn))
    count = round(share * len(source))
    if source.groups is not None and 0 < count < len(source):
        inside = _whole_groups(source, drawn, count)
        return Subset(source, np.flatnonzero(~inside)), Subset(source, np.flatnonzero(inside))
    return Subset(source, np.sort(order[count:])), Subset(source, np.sort(order[:count]))


def _whole_groups(source: Source, drawn: np.ndarray, count: int) -> np.ndarray:
    """Which images fall into a part of `count` that divides no group: bool [n]."""
    assert source.groups is not None
    alone = source.groups == -1
    _, group = np.unique(source.groups, return_inverse=True)
    group[alone] = len(source) + np.arange(np.count_nonzero(alone))
    by_id = np.argsort(source.ids)
    _, first, group, sizes = np.unique(
        group[by_id], return_index=True, return_inverse=True, return_counts=True
    )
    if len(sizes) < 2:
        raise ValueError(
            f"groups: all {len(source)} images of {source.name} are one group, which no split "
            "divides"
        )
    first = by_id[first]  # the image with the smallest id
    order = np.lexsort((source.ids[first], drawn[first]))
    taken = np.zeros(len(sizes), dtype=bool)
    room = count
    for place, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= room:
            taken[place] = True
            room -= size
    if room == count:
        taken[order[np.argmin(sizes[order])]] = True
    inside = np.empty(len(source), dtype=bool)
    inside[by_id] = taken[group]
    return inside


def hashed_ids(keys: Iterable[str], name: str) -> np.ndarray:
    """Int64 [n], 0..2^63-1: a hash of each key that is the same on every machine.

    Raises:
        ValueError: when two keys are equal, or share a hash.
    """
    seen: dict[int, str] = {}
    for key in keys:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        number = int.from_bytes(digest, "little") >> 1
        if number in seen:
            raise ValueError(
                f"{name}: {escape_control(key)!r} and {escape_control(seen[number])!r} have the "
                "same id: "
                "every image needs a name of its own"
            )
        seen[number] = key
    return np.fromiter(seen, dtype=np.int64, count=len(seen))


def checksum(*parts: str | np.ndarray | None) -> str:
    """16 hexadecimal digits of texts and arrays (type, shape and bytes)."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()


def _none_if_missing(labels: np.ndarray) -> np.ndarray | None:
    return labels if (labels >= 0).any() else None


def linspace_indices(n: int, sample: int) -> np.ndarray:
    """Up to `sample` evenly spaced numbers of 0..n-1: int64, ascending, the ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, max(sample, 1))).round().astype(np.int64))
