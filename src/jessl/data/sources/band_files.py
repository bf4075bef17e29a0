"""Images whose bands are files of their own: `bands:tiles/{name}_B{band}.tif`."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from jessl.core.hashing import checksum, hashed_ids
from jessl.core.validation import escape_control
from jessl.data.decode.bands import band_header, stored_bands, to_unsigned
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import UnreadableImage
from jessl.data.sources.bands import BandChoice, chosen_bands, colour_note
from jessl.data.sources.base import Source
from jessl.data.sources.folder import labels_by_subfolder, scan_folder

_FIELD = re.compile(r"(\{name\}|\{band\}|\*)")
_FIELDS = {"{name}": "(?P<name>.+)", "{band}": "(?P<band>[^/]+)", "*": "[^/]*"}
_DIGITS = re.compile(r"(\d+)")


def is_pattern(path: str) -> bool:
    """Whether a path names the bands of images by a pattern."""
    return "{band}" in path or "{name}" in path


class BandFilesSource(Source):
    """Images whose bands are files of one band each, matched by a pattern.

    `{name}` is the name of the image, `{band}` that of the band, `*` any text within a folder's
    name. Names may lie in subfolders, which are labels by the rule of `FolderSource`.

    The bands are those that at least half of the images have. An image that lacks one of them is
    unreadable. Files of fewer pixels are enlarged by a whole number, pixel by pixel, to the largest
    of the image.

    Args:
        choice: the pattern, which bands, and which of them are colours.

    Raises:
        ValueError: for a pattern without {name} and {band}, or one that matches nothing.
    """

    def __init__(self, choice: BandChoice) -> None:
        pattern = os.path.expanduser(choice.path)
        self.name = escape_control(pattern)
        for field in ("{name}", "{band}"):
            if pattern.count(field) != 1:
                raise ValueError(
                    f"data: {self.name}: expected a pattern with one {{name}} and one {{band}}, "
                    "such as tiles/{name}_B{band}.tif"
                )
        first = _FIELD.search(pattern)
        assert first is not None
        folder, slash, _ = pattern[: first.start()].rpartition("/")
        self._root = Path(folder + slash or ".")
        if not self._root.is_dir():
            raise ValueError(f"data: no folder {escape_control(str(self._root))}")
        relative = pattern[len(folder + slash) :]
        files, sizes, _, _ = scan_folder(self._root)
        matching = re.compile(
            "".join(_FIELDS.get(part) or re.escape(part) for part in _FIELD.split(relative))
        )
        self._files: dict[str, dict[str, str]] = {}
        self._bytes: list[int] = []
        several: list[tuple[str, str]] = []
        for file, size in zip(files, sizes.tolist(), strict=True):
            match = matching.fullmatch(file)
            if match is None:
                continue
            bands = self._files.setdefault(match["name"], {})
            if match["band"] in bands:
                several.append((file, bands[match["band"]]))
                continue
            bands[match["band"]] = file
            self._bytes.append(size)
        if not self._files:
            example = f", such as {escape_control(files[0])}" if files else ""
            raise ValueError(
                f"data: no file matches {self.name}; below {escape_control(str(self._root))} are "
                f"{len(files)} images{example}"
            )
        self._keys = sorted(self._files)
        self.ids = hashed_ids(self._keys, self.name)
        self.labels, self.classes, self.notes = labels_by_subfolder(self._keys, self.name)
        present = self._frequent_bands(choice)
        self.bands, _ = chosen_bands(choice, present, self.name, is_photo=False)
        if several:
            left_out, read = map(escape_control, several[0])
            self.notes += (
                f"{self.name}: {len(several)} files are of an image and a band that another file "
                f"has, and are left out; the first is {left_out} ({read} is read)",
            )
        self._note_missing()
        self.notes += (f"{self.name}: {colour_note(self.bands)}",)

    def _frequent_bands(self, choice: BandChoice) -> list[str]:
        """All bands that are named, else those of at least half of the images, in natural order."""
        counts = Counter(band for files in self._files.values() for band in files)
        rare = [band for band, count in counts.items() if 2 * count < len(self._keys)]
        if choice.names is not None or len(rare) == len(counts):
            return sorted(counts, key=_natural)
        if rare:
            self.notes += (
                f"{self.name}: {len(rare)} bands that less than half of the images have are left "
                f"out: {', '.join(sorted(rare, key=_natural)[:5])}; name them after @ to read them",
            )
        return sorted(counts.keys() - set(rare), key=_natural)

    def _note_missing(self) -> None:
        assert self.bands is not None
        lacking = [
            (key, band)
            for key in self._keys
            for band in self.bands.names
            if band not in self._files[key]
        ]
        if lacking:
            key, band = lacking[0]
            images = len({name for name, _ in lacking})
            self.notes += (
                f"{self.name}: {images} of {len(self._keys)} images lack bands and cannot be read; "
                f"the first is {escape_control(key)} (no file for band {band})",
            )

    def read(self, index: int) -> np.ndarray:
        parts = [
            to_unsigned(stored, self.where(index), self.value_range)
            for stored in self._stored(index)
        ]
        if len({part.dtype for part in parts}) > 1:  # the same share of white
            parts = [p if p.dtype == np.uint16 else p.astype(np.uint16) * 257 for p in parts]
        return np.ascontiguousarray(np.concatenate(parts, axis=2))

    def _stored(self, index: int) -> list[StoredValues]:
        """The values of each band, of one size."""
        each: list[StoredValues] = []
        for path in self._paths(index):
            stored = stored_bands(_read(path), path)
            if stored.values.shape[2] != 1:
                bands = stored.values.shape[2]
                raise UnreadableImage(path, f"{bands} bands, where one was expected")
            each.append(stored)
        height, width = (max(s.values.shape[axis] for s in each) for axis in (0, 1))
        for k, stored in enumerate(each):
            v = stored.values
            times = height // v.shape[0]
            if v.shape[:2] != (height, width):
                if (v.shape[0] * times, v.shape[1] * times) != (height, width):
                    band = self.bands.names[k] if self.bands else ""
                    raise UnreadableImage(
                        self.where(index),
                        f"band {band} has {v.shape[0]}x{v.shape[1]} pixels, another one "
                        f"{height}x{width}, which is no multiple",
                    )
                enlarged = v.repeat(times, axis=0).repeat(times, axis=1)
                each[k] = replace(stored, values=enlarged)
        return each

    def _paths(self, index: int) -> list[str]:
        assert self.bands is not None
        files = self._files[self._keys[index]]
        for band in self.bands.names:
            if band not in files:
                raise UnreadableImage(self.where(index), f"no file for band {band}")
        return [os.path.join(self._root, files[band]) for band in self.bands.names]

    def size(self, index: int) -> tuple[int, int]:
        headers = [band_header(_read(path), path) for path in self._paths(index)]
        return max(h.height for h in headers), max(h.width for h in headers)

    def facts(self, index: int) -> FileFacts:
        headers = [band_header(_read(path), path) for path in self._paths(index)]
        return FileFacts(deep=any(header.deep for header in headers))

    def stored_values(self, index: int) -> StoredValues | None:
        each = self._stored(index)
        if all(stored.values.dtype == np.uint8 for stored in each):
            return None
        values = np.concatenate([stored.values for stored in each], axis=2)
        return StoredValues(values, white=max(stored.white for stored in each))

    def key(self, index: int) -> str:
        return self._keys[index]

    def where(self, index: int) -> str:
        return escape_control(os.path.join(self._root, self._keys[index]))

    def fingerprint(self) -> str:
        assert self.bands is not None
        keys = "\n".join(escape_control(key) for key in self._keys)
        return checksum(
            keys,
            np.array(self._bytes, np.int64),
            self.labels,
            "bands",
            ",".join(self.bands.names),
            *self.range_key(),
        )


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key by which 2 comes before 10 and 8 before 8A."""
    parts = (part for part in _DIGITS.split(name) if part)
    return tuple((0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImage(escape_control(path), f"cannot be read: {error.strerror}") from error
