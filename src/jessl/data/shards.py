"""Tar shards in the WebDataset layout, read by offset; nothing is ever extracted to disk."""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jessl.data.decode import EXTENSIONS, UnreadableImage, decode, header_size, printable
from jessl.data.sources import Source, checksum, hashed_ids

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
# WebDataset's rule: the key is the path up to the first dot of the file name
_MEMBER = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_JSON_LABELS = ("label", "cls", "class", "target")
_MOST_LABEL_BYTES = 1 << 20
_MOST_SHARDS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Image:
    key: str
    shard: int
    offset: int
    size: int
    label: int | str | None


class ShardSource(Source):
    """Images in uncompressed tar files, one sample for each key, in the order of the shards.

    A sample is the members that share a key (the path up to the first dot of the file name). Its
    image is the first member whose whole extension is that of an image; its label is the member
    `cls` (an integer or a name), else `json` (an integer, a string, or an object with label, cls,
    class or target), else `txt`. Integers are labels as they are; names become classes in sorted
    order. Texts of which more than half differ are captions and no labels, which `notes` says.

    Keys are the names of images; where two shards share keys, all names are shard.tar/key.
    Headers are read once, at opening. Each read opens its shard anew, so reads from many threads
    and processes never meet.

    Attributes:
        skipped: lines on what could not be used: torn ends of tar files, samples without image.

    Args:
        paths: the tar files.
        name: what messages call them; by default the first path.

    Raises:
        ValueError: when a shard is missing, compressed or no tar file, when a key comes twice in
            one shard, or when there is no image at all.
    """

    def __init__(self, paths: list[Path], *, name: str | None = None) -> None:
        self.name = printable(name if name is not None else str(paths[0]))
        self._paths = list(paths)
        missing = [path for path in self._paths if not path.is_file()]
        if missing:
            raise ValueError(
                f"data: {len(missing)} of {len(self._paths)} shards of {self.name} are missing, "
                f"the first is {printable(str(missing[0]))}"
            )
        skipped: list[str] = []
        images: list[_Image] = []
        for number, path in enumerate(self._paths):
            images += _index(path, number, skipped)
        if not images:
            reason = f" ({skipped[0]})" if skipped else ""
            raise ValueError(
                f"data: no image in {self.name}: looked for members with the extensions "
                f"{', '.join(EXTENSIONS)}{reason}"
            )
        self._images = images
        self._keys = _names(images, self._paths)
        self.ids = hashed_ids(self._keys, self.name)
        self.skipped = tuple(skipped)
        self.labels, self.classes, notes = _labels(images)
        self.notes = (*skipped, *notes)

    def read(self, index: int) -> np.ndarray:
        return decode(self._bytes(index), self.where(index))

    def size(self, index: int) -> tuple[int, int]:
        return header_size(self._bytes(index), self.where(index))

    def key(self, index: int) -> str:
        return self._keys[index]

    def where(self, index: int) -> str:
        image = self._images[index]
        return printable(f"{image.key} in {self._paths[image.shard]}")

    def fingerprint(self) -> str:
        sizes = np.array([image.size for image in self._images], dtype=np.int64)
        return checksum("\n".join(printable(key) for key in self._keys), sizes, self.labels)

    def _bytes(self, index: int) -> bytes:
        image = self._images[index]
        try:
            with self._paths[image.shard].open("rb", buffering=0) as file:
                file.seek(image.offset)
                data = file.read(image.size)
        except OSError as error:
            raise UnreadableImage(self.where(index), f"cannot be read: {error.strerror}") from error
        if len(data) < image.size:
            raise UnreadableImage(
                self.where(index),
                f"the shard has shrunk since it was opened: {len(data)} of {image.size} bytes left",
            )
        return data


def is_tar(path: Path) -> bool:
    """Whether the name is that of a tar file, compressed or not."""
    return path.name.lower().endswith((".tar", *_COMPRESSED))


def tars_in(folder: Path) -> list[Path]:
    """The tar files directly in a folder, sorted; hidden ones are left out."""
    return sorted(
        path for path in folder.iterdir() if is_tar(path) and not path.name.startswith(".")
    )


def is_pattern(text: str) -> bool:
    """Whether `text` has braces to expand: shard-{000..012}.tar or {train,val}.tar."""
    return any(
        _RANGE.fullmatch(found) or "," in found for found in _BRACES.findall(text)
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
                raise ValueError(
                    f"data: {pattern} stands for {count} shards; 1..{_MOST_SHARDS} are allowed"
                )
            choices.append([f"{n:0{len(span[1])}d}" for n in range(first, last + 1)])
        else:
            choices.append(piece.split(",") if "," in piece else [f"{{{piece}}}"])
    return [Path("".join(parts)) for parts in itertools.product(*choices)]


def _index(path: Path, shard: int, skipped: list[str]) -> Iterator[_Image]:
    """The images of one shard; what is torn or has no image goes to `skipped`."""
    shown = printable(str(path))
    with path.open("rb") as file:
        if path.name.lower().endswith(_COMPRESSED) or file.read(6).startswith(_MAGIC):
            raise ValueError(
                f"data: {shown} is compressed, which rules out reading by offset; unpack it to a "
                "plain .tar (images are compressed already)"
            )
        done: set[str] = set()
        empty: list[str] = []
        for key, group in itertools.groupby(_members(path, skipped), key=lambda member: member[0]):
            if key in done:
                raise ValueError(
                    f"data: the key {printable(key)!r} comes twice in {shown}; the members of a "
                    "sample must follow each other and keys must differ"
                )
            done.add(key)
            parts: dict[str, tuple[int, int]] = {}
            for _, kind, at, size in group:
                parts.setdefault(kind, (at, size))
            image = next((parts[kind] for kind in parts if kind in EXTENSIONS), None)
            if image is None:
                empty.append(key)
                continue
            texts: dict[str, bytes] = {}
            for kind in ("cls", "json", "txt"):
                at, size = parts.get(kind, (0, 0))
                if 0 < size <= _MOST_LABEL_BYTES:
                    file.seek(at)
                    texts[kind] = file.read(size)
            yield _Image(key, shard, *image, _label(texts, f"{printable(key)} in {shown}"))
    if empty:
        skipped.append(
            f"{shown}: {len(empty)} samples without an image, the first is {printable(empty[0])}"
        )


def _members(path: Path, skipped: list[str]) -> Iterator[tuple[str, str, int, int]]:
    """Key, extension, offset and size of the whole files of a tar, in their order."""
    shown = printable(str(path))
    total = path.stat().st_size
    end = 0
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as tar:
            for member in tar:
                end = tar.offset
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > total:
                    skipped.append(
                        f"{shown}: torn: {printable(member.name)} has "
                        f"{max(total - member.offset_data, 0)} of {member.size} bytes and is left "
                        "out, with whatever followed"
                    )
                    return
                match = _MEMBER.match(member.name)
                if match:
                    yield match[1], match[2].lower(), member.offset_data, member.size
    except tarfile.TarError as error:
        if not end:
            raise ValueError(f"data: {shown} is not a tar file: {error}") from None
        skipped.append(f"{shown}: torn after byte {end} of {total}: {error}")
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


def _label(texts: dict[str, bytes], where: str) -> int | str | None:
    """The label of one sample; see ShardSource."""
    for kind, data in texts.items():
        try:
            text = data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ValueError(f"labels: {where}.{kind} is not UTF-8 text") from None
        value: object = text
        if kind == "json":
            try:
                value = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(f"labels: {where}.json is not JSON: {error}") from None
            if isinstance(value, dict):
                value = next((value[key] for key in _JSON_LABELS if key in value), None)
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
            return _checked(int(value), where)
        if isinstance(value, int):
            return _checked(int(value), where)
        if isinstance(value, str) and value:
            return value
    return None


def _checked(label: int, where: str) -> int | None:
    if not -1 <= label < 2**63:
        raise ValueError(f"labels: {where}: 0, 1, ... or -1 (missing) wanted, {label} came")
    return None if label == -1 else label


def _labels(
    images: list[_Image],
) -> tuple[np.ndarray | None, tuple[str, ...] | None, list[str]]:
    known = [image.label for image in images if image.label is not None]
    if not known:
        return None, None, []
    if all(isinstance(label, int) for label in known):
        plain = [-1 if image.label is None else image.label for image in images]
        return np.array(plain, dtype=np.int64), None, []
    names = sorted({str(label) for label in known})
    if 2 * len(names) > len(known) > 2:
        note = f"{len(known)} texts, {len(names)} of them different, are captions and no labels"
        return None, None, [note]
    number = {name: label for label, name in enumerate(names)}
    labels = [-1 if image.label is None else number[str(image.label)] for image in images]
    return np.array(labels, dtype=np.int64), tuple(names), []


def _names(images: list[_Image], paths: list[Path]) -> list[str]:
    keys = [image.key for image in images]
    if len(set(keys)) == len(keys):
        return keys
    return [f"{paths[image.shard].name}/{image.key}" for image in images]
