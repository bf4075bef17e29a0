"""A folder of images, with or without class folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jessl.core.hashing import checksum, hashed_ids
from jessl.core.validation import escape_control
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import (
    EXTENSIONS,
    UnreadableImage,
    decode,
    file_facts,
    header_size,
    stored_values,
)
from jessl.data.sources.base import Source


class FolderSource(Source):
    """All images below a folder, in the order of their relative paths.

    Files count as images by extension, in upper or lower case: jpg, jpeg, png, webp, bmp, tif,
    tiff, gif, ppm, pgm, dcm, dicom. Hidden files and folders are left out. Links are followed, each
    real folder once.

    The rule of labels: when at least half of the images lie exactly one level down
    (folder/class/image.jpg), in two or more subfolders, the label is the subfolder, numbered in
    sorted order; images that lie elsewhere have none (-1), and `notes` counts them with the first.
    Otherwise (images directly in the folder, a single subfolder, deeper levels) there are no
    labels; where two or more subfolders hold images, `notes` says why.

    Args:
        path: the folder.
        name: what messages call it; by default the path.

    Raises:
        ValueError: when there is no such folder, or no image in it.
    """

    fast_decode = False

    def __init__(self, path: str | Path, *, name: str | None = None) -> None:
        self.root = Path(path)
        self.name = escape_control(name if name is not None else str(path))
        if not self.root.is_dir():
            raise ValueError(f"data: no folder {self.name}")
        self._keys, self._bytes, others, first = scan_folder(self.root)
        if not self._keys:
            raise ValueError(f"data: no image in the folder {self.name}: {_other_files(others)}")
        self.ids = hashed_ids(self._keys, self.name)
        # folders of keys by their real paths, and what was looked up in them
        self._real_folders: dict[str, str] | None = None
        self._real_folders_of: dict[str, str | None] = {}
        self.labels, self.classes, self.notes = labels_by_subfolder(self._keys, self.name)
        if count := sum(others.values()):
            left_out = "1 file is" if count == 1 else f"{count:,} files are"
            self.notes += (
                f"{self.name}: {left_out} left out, whose extensions are not those of images: "
                f"{_extensions(others)}; the first is {escape_control(first)}"
                + ("; tar shards are read where no image is beside them" * bool(others["tar"])),
            )

    def read(self, index: int) -> np.ndarray:
        return decode(self._path(index), fast=bool(self.fast_decode), value_range=self.value_range)

    def size(self, index: int) -> tuple[int, int]:
        return header_size(self._path(index))

    def facts(self, index: int) -> FileFacts:
        return file_facts(self._path(index), self.where(index))

    def stored_values(self, index: int) -> StoredValues | None:
        return stored_values(self._path(index), self.where(index))

    def encoded(self, index: int) -> bytes:
        try:
            return Path(self._path(index)).read_bytes()
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            raise UnreadableImage(self.where(index), reason) from error

    def key(self, index: int) -> str:
        return self._keys[index]

    def where(self, index: int) -> str:
        return escape_control(self._path(index))

    def _path(self, index: int) -> str:
        # a sixth of the time of joining Paths, which every read would pay
        return os.path.join(self.root, self._keys[index])

    def find(self, key: str) -> str:
        """The path relative to the folder of a relative or absolute path, with / and no ./."""
        path = key.strip().replace("\\", "/") if os.sep == "\\" else key.strip()
        if os.path.isabs(path):
            absolute, path = path, os.path.relpath(path, os.path.abspath(self.root))
            if path.startswith(os.pardir):
                path = self._through_links(absolute) or path
        return os.path.normpath(path).replace(os.sep, "/")

    def _through_links(self, path: str) -> str | None:
        """The key of a path that leads into the folder by links, or out of it by those in it."""
        if self._real_folders is None:
            folders = {os.path.dirname(key) for key in self._keys}
            self._real_folders = {
                os.path.realpath(os.path.join(self.root, folder)): folder for folder in folders
            }
        folder, name = os.path.split(path)
        if folder not in self._real_folders_of:
            real = os.path.realpath(folder)
            self._real_folders_of[folder] = self._real_folders.get(real)
        key_folder = self._real_folders_of[folder]
        return None if key_folder is None else os.path.join(key_folder, name)

    def fingerprint(self) -> str:
        keys = "\n".join(escape_control(key) for key in self._keys)
        return checksum(keys, self._bytes, self.labels, *self.range_key())


def labels_by_subfolder(
    keys: Sequence[str], source: str
) -> tuple[np.ndarray | None, tuple[str, ...] | None, tuple[str, ...]]:
    """Labels by the rule of `FolderSource`, their names, and notes on images without.

    Args:
        keys: of the images, with / between folders.
        source: what the notes call them.
    """
    parents = [key.split("/")[:-1] for key in keys]
    names = sorted({parent[0] for parent in parents if len(parent) == 1})
    if len(names) < 2:
        return None, None, ()
    number = {name: label for label, name in enumerate(names)}
    labels = [number[parent[0]] if len(parent) == 1 else -1 for parent in parents]
    elsewhere = labels.count(-1)
    notes: tuple[str, ...] = ()
    if elsewhere:
        lie = "images does not lie" if elsewhere == 1 else "images do not lie"
        where = (
            f"{elsewhere} of {len(labels)} {lie} in a class folder one level down, the first "
            f"is {escape_control(keys[labels.index(-1)])}"
        )
        if 2 * elsewhere > len(labels):
            return None, None, (f"{source}: no labels, as {where}",)
        notes = (f"{source}: {where}; without label (-1)",)
    classes = tuple(escape_control(name) for name in names)
    return np.array(labels, dtype=np.int64), classes, notes


def images_in(path: Path) -> bool:
    """Whether there is any image below the folder `path`."""
    return bool(scan_folder(path)[0])


def scan_folder(root: Path) -> tuple[list[str], np.ndarray, Counter[str], str]:
    """Sorted relative paths of images, their sizes in bytes; other extensions and a first file.

    Each real folder is entered once, real folders before links, so that loops of links end and
    an image bears the path without links where it has one.
    """
    sizes: dict[str, int] = {}
    others: Counter[str] = Counter()
    first = ""
    # a link to a folder around the root would take in its neighbours
    entered = {_identity(folder) for folder in root.resolve().parents}
    real, links = [(str(root), "")], list[tuple[str, str]]()
    while real or links:
        folder, prefix = real.pop() if real else links.pop(0)
        identity = _identity(Path(folder))
        if identity in entered:
            continue
        entered.add(identity)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                key = prefix + entry.name
                # a link to itself makes entry.is_dir raise where os.path.isdir says no
                if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                    (links if entry.is_symlink() else real).append((entry.path, key + "/"))
                elif os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():
                    extension = os.path.splitext(entry.name)[1][1:].lower()
                    if extension in EXTENSIONS:
                        sizes[key] = entry.stat().st_size
                    else:
                        others[extension] += 1
                        first = min(first, key) if first else key
    keys = sorted(sizes)
    return keys, np.array([sizes[key] for key in keys], dtype=np.int64), others, first


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _other_files(others: Counter[str]) -> str:
    wanted = f"looked for {', '.join(EXTENSIONS)}"
    if not others:
        return f"{wanted}; it holds no file"
    return f"{wanted}; it has {sum(others.values())} other files ({_extensions(others)})"


def _extensions(others: Counter[str]) -> str:
    """The five most frequent extensions with their counts."""
    return ", ".join(
        f"{count} {'.' + escape_control(extension) if extension else 'without extension'}"
        for extension, count in others.most_common(5)
    )
