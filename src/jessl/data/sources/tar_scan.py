"""Tar shards in the WebDataset layout, indexed by reading the headers of their members."""

from __future__ import annotations

import errno
import itertools
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jessl.core.hashing import hashed_ids
from jessl.core.texts import Texts
from jessl.core.validation import escape_control
from jessl.data.decode.image import EXTENSIONS
from jessl.data.sources.shard_index import HEADER_BYTES, Index, header_sum
from jessl.data.sources.text_labels import numbered_texts

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
# WebDataset's rule: the key is the path up to the first dot of the file name
_MEMBER = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)
_JSON_LABELS = ("label", "cls", "class", "target")
_MOST_LABEL_BYTES = 1 << 20
_MOST_SHOWN = 40


# what tarfile raises, beside its own errors, for the numbers and names of corrupt headers
_OF_CORRUPT_HEADERS = (ValueError, ArithmeticError, LookupError, RecursionError, MemoryError)


class _ImpossibleMember(ValueError):
    """A member that would not lie behind the one before it."""


def is_tar(path: Path) -> bool:
    """Whether the name is that of a tar file, compressed or not."""
    return path.name.lower().endswith((".tar", *_COMPRESSED))


def scan(paths: list[Path], name: str) -> tuple[Index, list[str], list[str]]:
    """Index shards by reading the headers of all their members.

    Returns:
        The index; what could not be used, a line each; other notes for the user.

    Raises:
        ValueError: when a shard is compressed or no tar file, when a key comes twice in one shard,
            or when there is no image at all.
    """
    skipped: list[str] = []
    rows: list[tuple[int, int, int, int]] = []
    keys: list[str] = []
    sample_labels: list[int | str | None] = []
    unusable: list[str] = []
    for number, path in enumerate(paths):
        for key, offset, size, header, label in _images(path, skipped, unusable):
            rows.append((number, offset, size, header))
            keys.append(key)
            sample_labels.append(label)
    if not rows:
        reason = f" ({skipped[0]})" if skipped else ""
        raise ValueError(
            f"data: no image in {name}: looked for members with the extensions "
            f"{', '.join(EXTENSIONS)}{reason}"
        )
    columns = np.array(rows, dtype=np.int64)
    if len(set(keys)) < len(keys):
        keys = [f"{paths[row[0]].name}/{key}" for row, key in zip(rows, keys, strict=True)]
    labels, classes, notes = _labels(sample_labels)
    if unusable:
        notes.append(
            f"{name}: {len(unusable)} labels are no integers or names and are left out, the first "
            f"is {unusable[0]}"
        )
    index = Index(
        files=tuple(path.name for path in paths),
        file_bytes=np.array([path.stat().st_size for path in paths], dtype=np.int64),
        shard=columns[:, 0].copy(),
        offset=columns[:, 1].copy(),
        size=columns[:, 2].copy(),
        header=columns[:, 3].astype(np.uint32),
        height=np.zeros(len(keys), np.int32),
        width=np.zeros(len(keys), np.int32),
        label=labels,
        id=hashed_ids(keys, name),
        keys=Texts.of(keys),
        classes=classes,
    )
    return index, skipped, notes


def _images(
    path: Path, skipped: list[str], unusable: list[str]
) -> Iterator[tuple[str, int, int, int, int | str | None]]:
    """Key, offset, size, CRC of the header, and label of the images of one shard.

    What is torn or has no image goes to `skipped`, labels of other types to `unusable`.
    """
    shown = escape_control(str(path))
    with path.open("rb") as file:
        if path.name.lower().endswith(_COMPRESSED) or file.read(6).startswith(_MAGIC):
            raise ValueError(
                f"data: {shown} is compressed, which rules out reading by offset; unpack it to a "
                "plain .tar (images are compressed already)"
            )
        done: set[str] = set()
        empty: list[str] = []
        # images that are none by WebDataset's rule, which ends a key at the first dot
        dotted: list[str] = []
        further: list[str] = []
        for key, group in itertools.groupby(_members(path, skipped), key=lambda member: member[0]):
            if key in done:
                raise ValueError(
                    f"data: the key {escape_control(key)!r} comes twice in {shown}; the members "
                    "of a "
                    "sample must follow each other and keys must differ"
                )
            done.add(key)
            parts: dict[str, tuple[int, int]] = {}
            for _, kind, at, size in group:
                parts.setdefault(kind, (at, size))
            image = next((parts[kind] for kind in parts if kind in EXTENSIONS), None)
            images = [f"{key}.{kind}" for kind in parts if kind.rpartition(".")[2] in EXTENSIONS]
            if image is None:
                empty.append(key)
                dotted += images
                continue
            further += [name for name in images if parts[name[len(key) + 1 :]] != image]
            texts: dict[str, bytes] = {}
            for kind in ("cls", "json", "txt"):
                at, size = parts.get(kind, (0, 0))
                if 0 < size <= _MOST_LABEL_BYTES:
                    file.seek(at)
                    texts[kind] = file.read(size)
                elif size:
                    unusable.append(f"{escape_control(key)}.{kind} of {size} bytes in {shown}")
            file.seek(image[0] - HEADER_BYTES)
            header = header_sum(file.read(HEADER_BYTES))
            where = f"{escape_control(key)} in {shown}"
            yield key, *image, header, _label(texts, where, unusable)
    if empty:
        why = ""
        if dotted:
            why = (
                f"; {len(dotted)} of their members have further dots before the extension, where "
                f"WebDataset's key ends at the first, as in {escape_control(dotted[0])}: rename "
                "them, or pack their folder by jessl pack"
            )
        skipped.append(
            f"{shown}: {len(empty)} samples without an image, the first is "
            f"{escape_control(empty[0])}{why}"
        )
    if further:
        skipped.append(
            f"{shown}: {len(further)} further images in samples that have one are left out, the "
            f"first is {escape_control(further[0])}"
        )


def _members(path: Path, skipped: list[str]) -> Iterator[tuple[str, str, int, int]]:
    """Key, extension, offset and size of the whole files of a tar, in their order."""
    shown = escape_control(str(path))
    total = path.stat().st_size
    end = 0
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as tar:
            for member in tar:
                if member.size < 0 or not end < tar.offset:
                    raise _ImpossibleMember(
                        f"data: {shown}: expected members that follow each other, got "
                        f"{escape_control(member.name)} of {member.size} bytes"
                    )
                end = tar.offset
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > total:
                    skipped.append(
                        f"{shown}: torn: {escape_control(member.name)} has "
                        f"{max(total - member.offset_data, 0)} of {member.size} bytes and is left "
                        "out, with whatever followed"
                    )
                    return
                match = _MEMBER.match(member.name)
                if match:
                    yield match[1], match[2].lower(), member.offset_data, member.size
    except _ImpossibleMember:
        raise
    except (tarfile.TarError, OSError, *_OF_CORRUPT_HEADERS) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        if not end:
            raise ValueError(f"data: {shown} is not a tar file: {_line(error)}") from None
        skipped.append(f"{shown}: torn after byte {end} of {total}: {_line(error)}")
        return
    with path.open("rb") as file:
        file.seek(end)
        block = file.read(512)
    # tarfile takes a damaged header for the end of the archive; a true end is a block of zeros
    if not block:
        skipped.append(f"{shown}: no end mark at byte {end}; the file may be torn there")
    elif len(block) < 512:
        skipped.append(f"{shown}: torn after byte {end} of {total}, inside a header")
    elif block.strip(b"\0"):
        skipped.append(f"{shown}: damaged at byte {end} of {total}; what follows is left out")


def _line(error: Exception) -> str:
    return escape_control(" ".join(str(error).split())) or type(error).__name__


def _label(texts: dict[str, bytes], where: str, unusable: list[str]) -> int | str | None:
    """The label of one sample; see ShardSource. A value of another type goes to `unusable`."""
    odd = ""
    for kind, data in texts.items():
        try:
            text = data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ValueError(f"labels: {where}.{kind} is not UTF-8 text") from None
        value: object = text
        if kind == "json":
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"labels: {where}.json is not JSON: {_line(error)}") from None
            if isinstance(value, dict):
                value = next((value[key] for key in _JSON_LABELS if key in value), None)
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
            return _checked(int(value), where)
        if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            return _checked(int(value), where)
        if isinstance(value, str) and value:
            return value
        if not odd and value is not None and value != "":
            odd = f"{escape_control(json.dumps(value))[:_MOST_SHOWN]} of {where}"
    if odd:
        unusable.append(odd)
    return None


def _checked(label: int, where: str) -> int | None:
    if not -1 <= label < 2**63:
        raise ValueError(f"labels: {where}: expected 0, 1, ... or -1 (missing), got {label}")
    return None if label == -1 else label


def _labels(
    sample_labels: list[int | str | None],
) -> tuple[np.ndarray, tuple[str, ...] | None, list[str]]:
    """Labels int64 [n] (-1 where missing), classes, and notes."""
    known = [label for label in sample_labels if label is not None]
    if all(isinstance(label, int) for label in known):
        return np.array([-1 if x is None else x for x in sample_labels], dtype=np.int64), None, []
    return numbered_texts(None if label is None else str(label) for label in sample_labels)
