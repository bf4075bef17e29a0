"""Tar shards in the WebDataset layout, read by offset; nothing is ever extracted to disk."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import numpy as np

from jessl.core.hashing import checksum
from jessl.core.sampling import linspace_indices
from jessl.core.texts import Texts
from jessl.core.validation import escape_control
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import (
    UnreadableImage,
    decode,
    file_facts,
    header_size,
    stored_values,
)
from jessl.data.sources.base import Source
from jessl.data.sources.shard_checksums import check_shards
from jessl.data.sources.shard_index import HEADER_BYTES, INDEX, beside, header_sum
from jessl.data.sources.shard_manifest import MANIFEST
from jessl.data.sources.tar_scan import is_tar, scan

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST_SHARDS = 1_000_000
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class ShardSource(Source):
    """Images in uncompressed tar files, one sample for each key, in the order of the shards.

    A sample is the members that share a key (the path up to the first dot of the file name). Its
    image is the first member whose whole extension is that of an image; its label is the member
    `cls` (an integer or a name), else `json` (an integer, a string, or an object with label, cls,
    class or target), else `txt`. Integers are labels as they are; names become classes in sorted
    order; labels of other types (lists, objects, 0.5) are left out, which `notes` counts. Texts of
    which more than half differ are captions and no labels, which `notes` says.

    Keys are the names of images; where two shards share keys, all names are shard.tar/key.

    Where `jessl pack` has left its index (index.npz) beside the shards and their sizes in bytes
    are still those in it, no header is read at opening, and keys, ids, labels and classes are
    those of the source that was packed. Otherwise all headers are read once, at opening, and
    `notes` says why an index was left aside.

    Each read opens its shard anew, so reads from many threads and processes never meet, and
    compares the tar header before the image with the one that was indexed (but for its time).

    Attributes:
        skipped: lines on what could not be used: torn ends of tar files, samples without image.

    Args:
        paths: the tar files.
        name: what messages call them; by default the first path.

    Raises:
        ValueError: when a shard is missing, compressed or no tar file, when a key comes twice in
            one shard, or when there is no image at all.
    """

    fast_decode = False

    def __init__(self, paths: list[Path], *, name: str | None = None) -> None:
        self.name = escape_control(name if name is not None else str(paths[0]))
        self._paths = list(paths)
        missing = [path for path in self._paths if not path.is_file()]
        if missing:
            raise ValueError(
                f"data: {len(missing)} of {len(self._paths)} shards of {self.name} are missing, "
                f"the first is {escape_control(str(missing[0]))}"
            )
        skipped: list[str] = []
        index, notes = beside(self._paths)
        if index is None:
            index, skipped, more = scan(self._paths, self.name)
            notes = [*notes, *skipped, *more]
        for folder in dict.fromkeys(path.parent for path in self._paths):
            if (folder / INDEX).is_file():  # of a packing
                check_shards([path for path in self._paths if path.parent == folder])
        self._index = index
        self.ids = index.id
        self.segments = index.shard
        self.labels = index.labels
        self.classes = None if self.labels is None else index.classes
        self.skipped = tuple(skipped)
        self.notes = tuple(notes)

    def read(self, index: int) -> np.ndarray:
        return decode(
            self.encoded(index),
            self.where(index),
            fast=bool(self.fast_decode),
            value_range=self.value_range,
        )

    def encoded(self, index: int) -> bytes:
        shard, size = int(self._index.shard[index]), int(self._index.size[index])
        try:
            # half the time of Path.open
            file = os.open(self._paths[shard], _READ)
            try:
                os.lseek(file, int(self._index.offset[index]) - HEADER_BYTES, os.SEEK_SET)
                data = os.read(file, HEADER_BYTES + size)
            finally:
                os.close(file)
        except OSError as error:
            raise UnreadableImage(self.where(index), f"cannot be read: {error.strerror}") from error
        if len(data) < HEADER_BYTES + size:
            left = max(len(data) - HEADER_BYTES, 0)
            raise UnreadableImage(
                self.where(index),
                f"the shard has shrunk since it was indexed: {left} of {size} bytes left",
            )
        if header_sum(data[:HEADER_BYTES]) != self._index.header[index]:
            raise UnreadableImage(
                self.where(index),
                "the shard changed since it was indexed: another tar header is before the image",
            )
        return data[HEADER_BYTES:]

    def size(self, index: int) -> tuple[int, int]:
        height, width = int(self._index.height[index]), int(self._index.width[index])
        return (height, width) if height else header_size(self.encoded(index), self.where(index))

    def facts(self, index: int) -> FileFacts:
        return file_facts(self.encoded(index), self.where(index))

    def stored_values(self, index: int) -> StoredValues | None:
        return stored_values(self.encoded(index), self.where(index))

    def sizes(self, sample: int = 64) -> tuple[np.ndarray, np.ndarray]:
        if not self._index.height.all():
            return super().sizes(sample)
        rows = linspace_indices(len(self), sample)
        return self._index.height[rows].astype(np.int64), self._index.width[rows].astype(np.int64)

    def key(self, index: int) -> str:
        return self._index.keys[index]

    def names(self, indices: np.ndarray | None = None) -> Texts:
        return self._index.keys if indices is None else self._index.keys.take(indices)

    def where(self, index: int) -> str:
        return escape_control(f"{self.key(index)} in {self._paths[int(self._index.shard[index])]}")

    def fingerprint(self) -> str:
        keys = self._index.keys
        return checksum(keys.blob, keys.ends, self._index.size, self.labels, *self.range_key())


def tars_in(folder: Path) -> list[Path]:
    """The tar files directly in a folder, sorted; hidden ones are left out."""
    return sorted(
        path for path in folder.iterdir() if is_tar(path) and not path.name.startswith(".")
    )


def left_out_beside(folder: Path, name: str) -> tuple[str, ...]:
    """A note on what lies beside the tar files of a folder and is not read."""
    others = sorted(
        path.name
        for path in folder.iterdir()
        if not (is_tar(path) or path.name.startswith(".") or path.name in (INDEX, MANIFEST))
    )
    if not others:
        return ()
    are = "1 file or folder is" if len(others) == 1 else f"{len(others):,} files or folders are"
    first = escape_control(others[0])
    return (f"{name}: {are} left out beside the tar shards; the first is {first}",)


def is_pattern(text: str) -> bool:
    """Whether `text` has braces to expand: shard-{000..012}.tar or {train,val}.tar."""
    return any(
        _RANGE.fullmatch(piece) or "," in piece for piece in _BRACES.findall(text)
    ) and is_tar(Path(text))


def expand(pattern: str) -> list[Path]:
    """The paths of a brace pattern, the last braces running fastest.

    {000..012} counts, padded as its first number is; {a,b} lists.

    Raises:
        ValueError: for a range that runs backwards, or more than a million paths.
    """
    pieces = _BRACES.split(pattern)
    choices: list[list[str]] = []
    count = 1
    for place, piece in enumerate(pieces):
        span = _RANGE.fullmatch(piece)
        if place % 2 == 0:
            choices.append([piece])
        elif span is not None:
            first, last = int(span[1]), int(span[2])
            count *= max(last - first + 1, 0)
            if not 0 < count <= _MOST_SHARDS:
                raise ValueError(f"data: {pattern}: expected 1..{_MOST_SHARDS} shards, got {count}")
            choices.append([f"{n:0{len(span[1])}d}" for n in range(first, last + 1)])
        else:
            choices.append(piece.split(",") if "," in piece else [f"{{{piece}}}"])
    return [Path("".join(parts)) for parts in itertools.product(*choices)]
