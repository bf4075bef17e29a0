"""One tar shard while it is written, and what its images are called in it."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections import Counter
from typing import Any, BinaryIO

import numpy as np

from jessl.core.texts import Texts
from jessl.data.decode.image import EXTENSIONS
from jessl.data.packing.encode import Packed
from jessl.data.sources.shard_index import HEADER_BYTES, Index, header_sum

_BLOCK = tarfile.BLOCKSIZE
# what has a meaning in a path, in WebDataset, or in a terminal; in UTF-8 or not at all
_ODD = re.compile(r"[%\\\x00-\x1f\x7f\ud800-\udfff]")


class ShardFile:
    """A tar file that is written front to back; the same images make the same bytes.

    Args:
        file: where to write.
        name: what the shard will be called.
        most: bytes that are not surpassed, unless by a single image.

    Attributes:
        rows: a tuple (offset, size, header, height, width, label, id) an image.
        skipped: key -> reason of the images that cannot be read.
    """

    def __init__(self, file: BinaryIO, name: str, most: int) -> None:
        self.name = name
        self.rows: list[tuple[int, ...]] = []
        self.skipped: dict[str, str] = {}
        self._file = file
        self._most = most
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._keys: list[str] = []
        self._before: int | None = 0
        self._kept = self._resized = 0

    def add(self, member: str, image: Packed, *, label: int, id: int, key: str) -> bool:
        """Append an image under the name `member`; False, and nothing done, where it is full."""
        header, data = _member(f"{member}.{image.kind}", image.data)
        text = b"".join(_member(f"{member}.cls", b"%d" % label)) if label >= 0 else b""
        more = len(header) + len(data) + len(text)
        if self.rows and self._bytes + more + 2 * _BLOCK > self._most:
            return False
        offset = self._bytes + len(header)
        checked = header_sum(header[-HEADER_BYTES:])
        self.rows.append((offset, len(image.data), checked, image.height, image.width, label, id))
        self._keys.append(key)
        self._kept += image.kept
        self._resized += image.resized
        if image.before is None:
            self._before = None
        elif self._before is not None:
            self._before += image.before
        for piece in (header, data, text):
            self._write(piece)
        return True

    def end(self) -> None:
        """Write the end mark of a tar."""
        self._write(bytes(2 * _BLOCK))

    def index(self) -> Index:
        """The index of this one shard."""
        columns = np.array(self.rows, dtype=np.int64).reshape(-1, 7)
        return Index(
            files=(self.name,),
            file_bytes=np.array([self._bytes], dtype=np.int64),
            shard=np.zeros(len(columns), np.int64),
            offset=columns[:, 0],
            size=columns[:, 1],
            header=columns[:, 2].astype(np.uint32),
            height=columns[:, 3].astype(np.int32),
            width=columns[:, 4].astype(np.int32),
            label=columns[:, 5],
            id=columns[:, 6],
            keys=Texts.of(self._keys),
        )

    def entry(self) -> dict[str, Any]:
        """What the manifest says of this shard."""
        return {
            "file": self.name,
            "bytes": self._bytes,
            "sha256": self._digest.hexdigest(),
            "images": len(self.rows),
            "kept": self._kept,
            "resized": self._resized,
            "source_bytes": self._before,
            "skipped": self.skipped,
        }

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)


def member_keys(keys: list[str]) -> list[str]:
    """Names of members, without extension, from which WebDataset makes as many samples.

    The extension of an image is left out where no other key differs in it alone. Each of \\ and %,
    dots of the file name, control characters and bytes that are no UTF-8 become %XX, and so do
    what would lead out of a folder (an empty step, . and ..) and the __ at the beginning with
    which WebDataset marks what it leaves out.
    """
    stems = [_stem(key) for key in keys]
    many = {stem for stem, count in Counter(stems).items() if count > 1}
    named = set(keys)
    return [
        _escaped(key if stem in many or (stem != key and stem in named) else stem)
        for key, stem in zip(keys, stems, strict=True)
    ]


def _stem(key: str) -> str:
    stem, extension = os.path.splitext(key)
    return stem if extension[1:].lower() in EXTENSIONS else key


def _escaped(key: str) -> str:
    *folders, file = _ODD.sub(_percent, key).split("/")
    steps = ["%2E" * len(step) if step in ("", ".", "..") else step for step in folders]
    # an empty step has no letter to escape
    name = "/".join([*(step or "%" for step in steps), file.replace(".", "%2E") or "%"])
    return "%5F" + name[1:] if name.startswith("__") else name


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _member(name: str, data: bytes) -> tuple[bytes, bytes]:
    """The header and the padded data of a file in a tar; nothing in it tells time or user."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
    return header, data + bytes(-len(data) % _BLOCK)
