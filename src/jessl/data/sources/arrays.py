"""Images that are one array: in memory, in a .npz or .npy file, or scikit-learn's digits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jessl.core.hashing import checksum
from jessl.core.numpy_files import map_npy, names_in_npz, read_npz
from jessl.core.texts import Texts
from jessl.core.validation import escape_control
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import UnreadableImage
from jessl.data.decode.value_range import MOST_BANDS, SIXTEEN_BITS, ValueRange
from jessl.data.sources.base import Bands, Source

_X_KEYS = ("x", "images", "data", "arr_0")
_Y_KEYS = ("y", "labels", "targets")
_HASHED_BYTES = 64 << 20


class ArraySource(Source):
    """Images of one size in one array; ids are row numbers.

    Args:
        images: uint8 or uint16 [n, h, w] or [n, h, w, c], c 1..16, n at least 1; with a value range
            also other integers and floats. A memory-mapped array stays on disk.
        labels: integers [n] or [n, 1], -1 where missing; or strings [n], "" where missing, which
            become classes in sorted order.
        name: what messages call it.
        classes: names of the labels 0, 1, ...
        value_range: the values that are black and white, of all arrays but uint8.
        names: n texts, what the images are called, each once; None: their row numbers.
        keep_bits: keep more than 8 bits, and 1 or 3 channels as bands (`Source.bands`). Images of
            other numbers of channels always do.

    Raises:
        ValueError: for another type, shape or length.
    """

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        *,
        name: str = "array",
        classes: tuple[str, ...] | None = None,
        value_range: ValueRange | None = None,
        names: Sequence[str] | None = None,
        keep_bits: bool = False,
    ) -> None:
        self.name = name
        self.value_range = value_range
        self._images = _checked_images(images, name, any_numbers=value_range is not None)
        n, height, width, channels = self._images.shape
        if keep_bits or channels not in (1, 3):
            self.bands = Bands(
                tuple(str(k + 1) for k in range(channels)), (0, 1, 2) if channels == 3 else ()
            )
        if channels == 1 and width in (3, 4) and height > width and np.ndim(images) == 3:
            self.notes = (
                f"{name}: [{n}, {height}, {width}] is read as {n} grey images of {height} x "
                f"{width} pixels; one colour image is [1, {n}, {height}, {width}]",
            )
        self.ids = np.arange(len(self._images), dtype=np.int64)
        self._names = None if names is None else _checked_names(names, len(self._images), name)
        if labels is not None:
            self.labels, named = _checked_labels(labels, len(self._images), name)
            self.classes = None if self.labels is None else classes or named

    def read(self, index: int) -> np.ndarray:
        image = self._images[index]
        try:
            return image if image.dtype == np.uint8 else self._converted(image)
        except ValueError as error:
            raise UnreadableImage(self.where(index), str(error)) from None

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        # floats may be NaN, which is an unreadable image: one by one
        if self._images.dtype.kind == "f":
            return None
        images = self._images[np.asarray(indices)]
        return images if images.dtype == np.uint8 else self._converted(images)

    def facts(self, index: int) -> FileFacts:
        return FileFacts(deep=self._images.dtype != np.uint8)

    def stored_values(self, index: int) -> StoredValues | None:
        image = self._images[index]
        return None if image.dtype == np.uint8 else StoredValues(image)

    def _converted(self, images: np.ndarray) -> np.ndarray:
        if self.bands is None:
            return (self.value_range or SIXTEEN_BITS).to_uint8(images)
        if self.value_range is not None:
            return self.value_range.to_uint16(images)
        return images.astype(np.uint16, copy=False)  # of this byte order

    def key(self, index: int) -> str:
        row = range(len(self))[index]
        return str(row) if self._names is None else self._names[row]

    def where(self, index: int) -> str:
        return f"row {range(len(self))[index]} of {self.name}"

    def sizes(self, sample: int = 64) -> tuple[np.ndarray, np.ndarray]:
        n, height, width, _ = self._images.shape
        count = min(n, max(sample, 1))
        return np.full(count, height, np.int64), np.full(count, width, np.int64)

    def fingerprint(self) -> str:
        step = -(-self._images.nbytes // _HASHED_BYTES)
        return checksum(
            str(self._images.shape), self._images[::step], self.labels, *self.range_key()
        )


class _NoSuchKey(ValueError):
    """A key that a .npz file lacks, apart from the errors of reading it."""


def open_arrays(
    path: Path,
    *,
    x_key: str | None = None,
    y_key: str | None = None,
    value_range: ValueRange | None = None,
    keep_bits: bool = False,
) -> ArraySource:
    """Open a .npy (memory-mapped) or .npz file of images, without ever reading a pickle.

    Args:
        path: the file.
        x_key, y_key: names of the arrays in a .npz file; by default the first that exists of
            x, images, data, arr_0 and of y, labels, targets (labels may be absent).
        value_range, keep_bits: of ArraySource.

    Raises:
        ValueError: when the file is not what it seems, lacks the keys, or ArraySource refuses.
    """
    name = escape_control(str(path))
    kind = path.suffix.lower()
    if not path.is_file():
        raise ValueError(f"data: {name}: expected a {kind} file, got no regular file")
    images: object
    labels: Any = None
    try:
        if kind == ".npy":
            # copy on write: writable for torch, which warns of read-only memory, and still safe
            images = map_npy(path, mode="c")
        else:
            present = names_in_npz(path)
            x_key = _key("x_key", x_key, _X_KEYS, present, name)
            if y_key is not None or set(_Y_KEYS) & set(present):
                y_key = _key("y_key", y_key, _Y_KEYS, present, name)
            arrays = read_npz(path, [x_key] if y_key is None else [x_key, y_key])
            images = arrays[x_key]
            labels = None if y_key is None else arrays[y_key]
    except _NoSuchKey:
        raise
    except ValueError as error:
        raise ValueError(f"data: {name} cannot be read as {kind}: {error}") from None
    return ArraySource(images, labels, name=name, value_range=value_range, keep_bits=keep_bits)


def digits() -> ArraySource:
    """Scikit-learn's 1,797 real handwritten digits: uint8 [1797, 8, 8, 1] with 10 classes.

    Their values 0..16 are scaled to 0..255 and rounded.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return ArraySource(images, data.target, name="digits", classes=tuple("0123456789"))


def _checked_images(images: object, name: str, *, any_numbers: bool) -> np.ndarray:
    array = np.asarray(images)
    shape = list(array.shape)
    is_16_bit = array.dtype.kind == "u" and array.dtype.itemsize == 2
    is_allowed = any_numbers and array.dtype.kind in "iuf"
    if not (array.dtype == np.uint8 or is_16_bit or is_allowed):
        advice = ""
        if array.dtype.kind == "f":
            advice = "; for values 0..1 convert by (255 * x).round().astype('uint8')"
        elif array.dtype.kind in "iub":
            advice = "; for values 0..255 convert by x.astype('uint8')"
        if array.dtype.kind in "iuf":
            advice += ", or give their range: --range LOW HIGH (value_range=(LOW, HIGH))"
        raise ValueError(
            f"data: {name}: expected uint8 or uint16 images, got {array.dtype} {shape}{advice}"
        )
    if array.ndim == 3:
        array = array[..., None]
    # [n, c, h, w] of small images: c is below the sides, and the last side passes for many bands
    is_channels_first = (
        array.ndim == 4
        and array.shape[3] > 4
        and (array.shape[1] <= 4 or array.shape[1] < array.shape[2] == array.shape[3])
    )
    if array.ndim != 4 or not 1 <= array.shape[3] <= MOST_BANDS or is_channels_first:
        advice = ""
        if array.ndim == 4 and 1 <= array.shape[1] <= MOST_BANDS:
            advice = "; channels come last: x.transpose(0, 2, 3, 1)"
        raise ValueError(
            f"data: {name}: expected images [n, h, w] or [n, h, w, c] with c 1..{MOST_BANDS}, "
            f"got {shape}{advice}"
        )
    if 0 in array.shape:
        raise ValueError(f"data: {name}: no image in an array {shape}")
    return np.ascontiguousarray(array)


def _checked_names(names: Sequence[str], n: int, source: str) -> Texts:
    texts = [str(name) for name in names]
    if len(texts) != n:
        raise ValueError(f"names: {source}: {n} images but {len(texts)} names")
    repeated = next((name for name, count in Counter(texts).items() if count > 1 or not name), None)
    if repeated is not None:
        what = f"{escape_control(repeated)!r} for several" if repeated else "an empty one"
        raise ValueError(f"names: {source}: expected a name of its own for each image, got {what}")
    return Texts.of(texts)


def _checked_labels(
    labels: object, n: int, name: str
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"labels: {name}: expected [n], got {list(array.shape)}")
    if len(array) != n:
        raise ValueError(f"labels: {name}: {n} images but {len(array)} labels")
    classes = None
    if array.dtype.kind in "US":
        coded = array.dtype.kind == "S"
        texts = np.char.decode(array, "utf-8", "backslashreplace") if coded else array
        names = sorted(set(texts.tolist()) - {""})
        classes = tuple(names)
        number = {"": -1, **{text: label for label, text in enumerate(names)}}
        array = np.array([number[text] for text in texts.tolist()])
    if array.dtype.kind not in "iub":
        raise ValueError(
            f"labels: {name}: expected integers (-1: missing) or strings, got {array.dtype}"
        )
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"labels: {name}: expected at most 2^63 - 1, got {array.max()}")
    array = array.astype(np.int64)
    if array.min() < -1:
        raise ValueError(f"labels: {name}: expected 0, 1, ... or -1 (missing), got {array.min()}")
    return (array, classes) if (array >= 0).any() else (None, None)


def _key(
    argument: str, given: str | None, usual: tuple[str, ...], present: list[str], name: str
) -> str:
    if given is None:
        for key in usual:
            if key in present:
                return key
        raise _NoSuchKey(
            f"{argument}: none of {', '.join(usual)} in {name}, which holds {', '.join(present)}; "
            f"name one with {argument}"
        )
    if given not in present:
        raise _NoSuchKey(f"{argument}: no array {given!r} in {name}; it holds {', '.join(present)}")
    return given
