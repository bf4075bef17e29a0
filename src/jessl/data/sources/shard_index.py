"""The index of tar shards: what lies where in them, kept in arrays and in a file beside them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jessl.core.files import atomic_write
from jessl.core.numpy_files import read_npz
from jessl.core.texts import Texts
from jessl.core.validation import escape_control
from jessl.data.sources.shard_manifest import MANIFEST

INDEX = "index.npz"
# the folder in which an unfinished packing keeps what it knows
UNFINISHED = ".packing"
FORMAT = 1
HEADER_BYTES = 512

_COLUMNS = {
    "shard": np.int64,
    "offset": np.int64,
    "size": np.int64,
    "header": np.uint32,
    "height": np.int32,
    "width": np.int32,
    "label": np.int64,
    "id": np.int64,
}


@dataclass(frozen=True, eq=False)
class Index:
    """Where the images of tar shards lie, one row an image.

    Attributes:
        files: names of the shards, without folder.
        file_bytes: int64 [shards], their sizes in bytes.
        shard: int64 [n], which of them.
        offset: int64 [n], where the encoded image begins in its shard, in bytes; the 512 bytes
            before are its tar header.
        size: int64 [n], of the encoded image, in bytes.
        header: uint32 [n], `header_sum` of its tar header.
        height, width: int32 [n], in pixels; 0 where nobody looked.
        label: int64 [n], -1 where missing.
        id: int64 [n], 0 or more, all different.
        keys: n texts, what the images are called.
        classes: names of the labels 0, 1, ..., or None.
    """

    files: tuple[str, ...]
    file_bytes: np.ndarray
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    header: np.ndarray
    height: np.ndarray
    width: np.ndarray
    label: np.ndarray
    id: np.ndarray
    keys: Texts
    classes: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.shard)

    @property
    def labels(self) -> np.ndarray | None:
        """Int64 [n], -1 where missing; None when there are none at all."""
        return self.label if (self.label >= 0).any() else None

    def of_files(self, files: list[str]) -> Index:
        """The rows of some shards, in the order in which the shards are named."""
        if tuple(files) == self.files:
            return self
        number = {file: i for i, file in enumerate(self.files)}
        old = np.array([number[file] for file in files], dtype=np.int64)
        place = np.full(len(self.files), -1, dtype=np.int64)
        place[old] = np.arange(len(old))
        shard = place[self.shard]
        rows = np.flatnonzero(shard >= 0)
        rows = rows[np.argsort(shard[rows], kind="stable")]
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in _COLUMNS}
        columns["shard"] = shard[rows]
        return replace(
            self,
            files=tuple(files),
            file_bytes=self.file_bytes[old],
            keys=self.keys.take(rows),
            **columns,
        )


def header_sum(header: bytes) -> int:
    """CRC-32 of a tar header (512 bytes) but for its time, which a new writing changes."""
    return zlib.crc32(header[156:], zlib.crc32(header[:136]))


def joined(parts: list[Index], classes: tuple[str, ...] | None) -> Index:
    """The indices of single shards, or of several, as one."""
    first = np.cumsum([0, *(len(part.files) for part in parts)])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS
    }
    columns["shard"] = np.concatenate(
        [part.shard + start for part, start in zip(parts, first[:-1], strict=True)]
    )
    return Index(
        files=tuple(file for part in parts for file in part.files),
        file_bytes=np.concatenate([part.file_bytes for part in parts]),
        keys=Texts.joined([part.keys for part in parts]),
        classes=classes,
        **columns,
    )


def write_index(path: Path, index: Index) -> None:
    """Write an index as .npz, whole or not at all; the same bytes for the same index."""
    files, classes = Texts.of(index.files), Texts.of(index.classes or ())
    arrays: dict[str, Any] = {
        "format": np.int64(FORMAT),
        "file_bytes": index.file_bytes,
        **{name: getattr(index, name).astype(kind) for name, kind in _COLUMNS.items()},
        "named": np.bool_(index.classes is not None),
    }
    for name, texts in (("keys", index.keys), ("files", files), ("classes", classes)):
        arrays[f"{name}_utf8"], arrays[f"{name}_ends"] = texts.blob, texts.ends
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_index(path: Path) -> Index:
    """Read what `write_index` wrote.

    Raises:
        ValueError: saying in words what is wrong with it: another format, columns of unlike
            lengths, values out of range.
    """
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"it cannot be read: {' '.join(str(error).split())}") from None
    if "format" not in arrays or not _is_scalar(arrays["format"], "iu"):
        raise ValueError("it is no index of jessl")
    if int(arrays["format"]) != FORMAT:
        raise ValueError(f"its format is {int(arrays['format'])}, this jessl reads {FORMAT}")
    try:
        texts = {
            name: Texts.of_arrays(arrays[f"{name}_utf8"], arrays[f"{name}_ends"], name)
            for name in ("keys", "files", "classes")
        }
        columns: dict[str, Any] = {}
        for name, kind in (*_COLUMNS.items(), ("file_bytes", np.int64)):
            if arrays[name].dtype != kind or arrays[name].ndim != 1:
                raise ValueError(f"its column {name} is {arrays[name].dtype}, not {np.dtype(kind)}")
            columns[name] = arrays[name]
        if not _is_scalar(arrays["named"], "b"):
            raise ValueError(f"its entry named is {arrays['named'].dtype}, not bool")
        named = bool(arrays["named"])
    except KeyError as error:
        raise ValueError(f"it has no column {error.args[0]}") from None
    index = Index(
        files=tuple(texts["files"][i] for i in range(len(texts["files"]))),
        keys=texts["keys"],
        classes=tuple(texts["classes"][i] for i in range(len(texts["classes"]))) if named else None,
        **columns,
    )
    _check(index)
    return index


def _is_scalar(array: np.ndarray, kinds: str) -> bool:
    return array.shape == () and array.dtype.kind in kinds


def beside(paths: list[Path]) -> tuple[Index | None, list[str]]:
    """The index that lies beside shards, if it is theirs, and notes for the user.

    An index counts when all shards lie in its folder, it names each of them, and each has the size
    in bytes that it had when it was indexed. It may name more shards than are wanted.

    Args:
        paths: existing shards.
    """
    folders = list(dict.fromkeys(path.parent for path in paths))
    notes = [
        f"{escape_control(str(folder))} is an unfinished packing: more images may be missing "
        "than are "
        "there; the same jessl pack goes on with it"
        for folder in folders
        if (folder / UNFINISHED).is_dir() and not (folder / MANIFEST).is_file()
    ]
    present = [folder / INDEX for folder in folders if (folder / INDEX).is_file()]
    if not present:
        return None, notes
    shown = escape_control(str(present[0]))
    try:
        if len(folders) > 1 or len(set(paths)) < len(paths):
            raise ValueError("the shards lie in several folders, or one is named twice")
        index = read_index(present[0])
        number = {file: i for i, file in enumerate(index.files)}
        for path in paths:
            if path.name not in number:
                raise ValueError(f"it does not name {escape_control(path.name)}")
            was, size = int(index.file_bytes[number[path.name]]), path.stat().st_size
            if was != size:
                raise ValueError(
                    f"{escape_control(path.name)} has {size} bytes now and had {was} when indexed"
                )
    except ValueError as error:
        notes.append(
            f"{shown} is not used: {error}; the headers were read instead, and keys and ids are "
            "those of the members of the tar"
        )
        return None, notes
    gone = [file for file in index.files if not (present[0].parent / file).exists()]
    if gone:
        notes.append(
            f"{len(gone)} of {len(index.files)} shards that {shown} names are missing, the first "
            f"is {escape_control(gone[0])}"
        )
    return index.of_files([path.name for path in paths]), notes


def _check(index: Index) -> None:
    n = len(index)
    lengths = {name: len(getattr(index, name)) for name in (*_COLUMNS, "keys")}
    odd = next((name for name, length in lengths.items() if length != n), None)
    if odd is not None:
        raise ValueError(f"it has {n} images and {lengths[odd]} entries in {odd}")
    if len(index.files) != len(index.file_bytes) or len(set(index.files)) != len(index.files):
        raise ValueError("its shards need sizes and names of their own")
    most = np.iinfo(np.int64).max if index.classes is None else len(index.classes)
    shards = index.shard
    sound = (
        n > 0
        and shards.min() >= 0
        and shards.max() < len(index.files)
        and index.offset.min() >= HEADER_BYTES
        and index.size.min() >= 0
        and (index.size <= index.file_bytes[shards] - index.offset).all()
        and min(index.height.min(), index.width.min(), index.id.min()) >= 0
        and index.label.min() >= -1
        and index.label.max() < most
    )
    if not sound:
        raise ValueError("it has values out of range")
    ids = np.sort(index.id)  # a seventh of the time of numpy.unique
    if (ids[1:] == ids[:-1]).any():
        raise ValueError("it gives two images the same id")
