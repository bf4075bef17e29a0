"""Any map-style torch.utils.data.Dataset as a source; torch is not imported for it."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from jessl.core.hashing import checksum
from jessl.core.sampling import linspace_indices
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import UnreadableImage, file_facts, stored_values
from jessl.data.decode.value_range import ValueRange
from jessl.data.sources.base import Source
from jessl.data.sources.dataset_items import (
    EncodedImage,
    NoImage,
    checked,
    has_label,
    image_of,
    in_memory,
    is_deep,
    is_float,
    is_integer,
    label_of,
    to_pixels,
)
from jessl.data.sources.dataset_labels import (
    class_names,
    names_hold,
    names_may_differ,
    proven_labels,
)
from jessl.data.sources.text_labels import numbered_texts

# torchvision's data sets with one of these open a file anew for each image
_FILES = ("_samples", "samples", "_images", "images", "_image_files", "imgs", "_files")
# items that are read at opening, to see what they are
_TRIED = 4
_PROBED_IMAGES = 16


class DatasetSource(Source):
    """A map-style data set (`__len__` and `__getitem__`), read item by item; ids are row numbers.

    An item is an image, a tuple or list (image, label, ...), or a dict with the image under image,
    img, pixel_values, x or 0 and the label under label, target, y or 1. An image is a Pillow image,
    a numpy array [h, w] or [h, w, c], or a tensor [h, w] or [c, h, w], c 1..4: uint8, or floats
    within 0..1 (of ToTensor), which become round(255 x). Other floats are refused: encoders
    normalise by themselves. uint16 is divided by 257. Arrays of other numbers need a value range.
    An image may also be the bytes of a file, or a dict with bytes and path (Hugging Face's
    Image(decode=False)).

    Labels are integers, -1 or None where missing; or texts, which become class names in sorted
    order ("" or None where missing); labels of other kinds are left out. Texts of which more than
    half differ are captions and no labels. Lists of
    labels (targets, samples, ...) are taken where the code that reads the items is torchvision's
    own and no transform of targets is set, also inside torch's Subset, ConcatDataset and
    TensorDataset; else all items are gone through once, when labels are first asked for.

    An item that raises, or is None, is unreadable, for the reason that it raised.

    Args:
        dataset: the data set.
        name: what messages call it; by default its class.
        threads: whether its `__getitem__` may run in several threads at once. By default only where
            it is torchvision's and opens a file for each image, or TensorDataset's; all others are
            read by one thread at a time.
        value_range: the values that are black and white, in images of other types than uint8.

    Raises:
        ValueError: when it is empty or iterable only, or its items are no single images.
    """

    def __init__(
        self,
        dataset: Any,
        name: str | None = None,
        *,
        threads: bool | None = None,
        value_range: ValueRange | None = None,
    ) -> None:
        self.name = type(dataset).__name__ if name is None else name
        self._dataset = dataset
        self.ids = np.arange(_length(dataset, self.name), dtype=np.int64)
        safe = _reads_in_threads(dataset) if threads is None else threads
        self._reading = None if safe else threading.Lock()
        self._labelling = threading.Lock()
        self.value_range = value_range
        self._has_labels = False
        self._has_text_labels = False
        self._names: tuple[str, ...] | None = None
        self._holds_files = False
        self._is_deep = False
        self._proven = False
        self._loaded_labels: tuple[np.ndarray | None] | None = None
        notes = self._tried()
        if not safe and threads is None and not _is_of(dataset, "torchvision."):
            notes.append(
                "one thread at a time reads it; jessl.data.sources.dataset.DatasetSource(..., "
                "threads=True) where several may"
            )
        self.notes = tuple(f"{self.name}: {note}" for note in notes)

    @property
    def labels(self) -> np.ndarray | None:  # type: ignore[override]
        """Int64 [n], -1 where missing; None when there are none. The first use may read all."""
        with self._labelling:
            if self._loaded_labels is None:
                labels = self._read_labels()
                self._loaded_labels = (labels if (labels >= 0).any() else None,)
            return self._loaded_labels[0]

    def _read_labels(self) -> np.ndarray:
        if self._has_text_labels:
            labels, self._names, notes = numbered_texts(self._text(i) for i in range(len(self)))
            self.notes += tuple(f"{self.name}: {note}" for note in notes)
            return labels
        every = [self._label(i) for i in range(len(self))] if self._has_labels else [-1]
        try:
            return np.array(every, dtype=np.int64)
        except OverflowError:
            largest = max(every, key=abs)
            raise ValueError(
                f"labels: {self.name}: expected at most 2^63 - 1, got {largest}"
            ) from None

    @property
    def classes(self) -> tuple[str, ...] | None:  # type: ignore[override]
        labels = self.labels
        if self._has_text_labels:
            return None if labels is None else self._names
        if labels is None or not (self._proven or names_hold(self._dataset, labels)):
            return None
        return class_names(self._dataset)

    def read(self, index: int) -> np.ndarray:
        try:
            # a Pillow image may not have been read when its item is there
            with self._reading or contextlib.nullcontext():
                return self._pixels(self._item(index), index)
        except NoImage as error:
            raise UnreadableImage(self.where(index), str(error)) from None

    def facts(self, index: int) -> FileFacts:
        if not self._holds_files:
            return FileFacts(deep=self._is_deep)
        image = self._checked_item(index)
        if isinstance(image, EncodedImage):
            return file_facts(image.data, self.where(index))
        return FileFacts(deep=self._is_deep)

    def stored_values(self, index: int) -> StoredValues | None:
        image = self._checked_item(index)
        if isinstance(image, EncodedImage):
            return stored_values(image.data, self.where(index))
        return in_memory(image, floats_end_at_1=self.value_range is None)

    def encoded(self, index: int) -> bytes | None:
        if not self._holds_files:
            return None
        image = self._checked_item(index)
        if not isinstance(image, EncodedImage):
            return None
        if isinstance(image.data, bytes):
            return image.data
        try:
            return image.data.read_bytes()
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            raise UnreadableImage(self.where(index), reason) from error

    def key(self, index: int) -> str:
        return str(range(len(self))[index])

    def where(self, index: int) -> str:
        return f"item {self.key(index)} of {self.name}"

    def fingerprint(self) -> str:
        return checksum(self.name, str(len(self)), self.labels, *probed(self), *self.range_key())

    def _tried(self) -> list[str]:
        """Try some items, settle whether there are labels, and return what to tell of them all."""
        items: dict[int, Any] = {}
        failed: list[UnreadableImage] = []
        for index in linspace_indices(len(self), _TRIED).tolist():
            try:
                items[index] = self._item(index)
                image = self._checked(items[index])
                self._holds_files = self._holds_files or isinstance(image, EncodedImage)
                self._is_deep = self._is_deep or is_deep(image)
            except UnreadableImage as error:
                failed.append(error)
            except NoImage as error:
                raise ValueError(f"data: {self.where(index)}: {error}") from None
        if not items:
            raise ValueError(f"data: {len(failed)} items tried, none can be read: {failed[0]}")
        notes = []
        floats = any(is_float(image_of(item)) for item in items.values())
        if floats and self.value_range is None:
            notes.append("floats in 0..1 are turned back to 0..255 by round(255 x)")
        if self._changes(*next(iter(items.items()))):
            notes.append(
                "an item differs from one reading to the next: take random transforms out of the "
                "data set, for views are made later"
            )
        labels = {index: label_of(item) for index, item in items.items()}
        known = {index: label for index, label in labels.items() if label is not None}
        # items may have a place for a label that is empty in those tried
        placed = any(has_label(item) for item in items.values())
        self._has_labels = placed and all(is_integer(label) for label in known.values())
        self._has_text_labels = bool(known) and all(isinstance(k, str) for k in known.values())
        if self._has_labels:
            proven = proven_labels(self._dataset, len(self))
            if proven is not None:
                self._proven = True
                self._loaded_labels = (proven if (proven >= 0).any() else None,)
            else:
                notes.append(self._note_of_reading())
        elif self._has_text_labels:
            notes.append(f"texts become class names; {self._note_of_reading()}")
        elif known:
            kinds = ", ".join(sorted({type(label).__name__ for label in known.values()}))
            notes.append(f"labels are left out: expected integers or texts, got {kinds}")
        return notes

    def _note_of_reading(self) -> str:
        note = (
            f"all {len(self)} items are gone through once when labels are asked for, as no list "
            "(targets, labels, ...) is known to be that of all items"
        )
        if names_may_differ(self._dataset):
            note += "; class names are left out where labels differ from those of torchvision"
        return note

    def _changes(self, index: int, item: object) -> bool:
        """Whether an item is another when it is read again."""
        try:
            return not np.array_equal(
                self._pixels(item, index), self._pixels(self._item(index), index)
            )
        except (UnreadableImage, NoImage):
            return False

    def _item(self, index: int) -> Any:
        index = range(len(self))[index]
        try:
            item = self._dataset[index]
        except MemoryError:
            raise
        except Exception as error:  # a data set raises what its reader raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UnreadableImage(self.where(index), reason) from error
        # a habit of data sets that go on where an image is broken
        if item is None or (isinstance(item, list | tuple) and item and item[0] is None):
            raise UnreadableImage(self.where(index), "None in the place of the image")
        return item

    def _checked(self, item: object) -> Image.Image | EncodedImage | np.ndarray:
        return checked(image_of(item), any_numbers=self.value_range is not None)

    def _checked_item(self, index: int) -> Image.Image | EncodedImage | np.ndarray:
        """The image of an item, not decoded where it is a file."""
        try:
            with self._reading or contextlib.nullcontext():
                return self._checked(self._item(index))
        except NoImage as error:
            raise UnreadableImage(self.where(index), str(error)) from None

    def _pixels(self, item: object, index: int) -> np.ndarray:
        image = self._checked(item)
        try:
            return to_pixels(image, self.where(index), self.value_range)
        except UnreadableImage:
            raise
        except ValueError as error:
            raise UnreadableImage(self.where(index), str(error)) from None

    def _text(self, index: int) -> str | None:
        try:
            with self._reading or contextlib.nullcontext():
                label = label_of(self._item(index))
        except UnreadableImage:
            return None
        if label is None or isinstance(label, str):
            return label
        raise ValueError(
            f"labels: {self.where(index)}: expected a text, as other items have, got {label!r}"
        )

    def _label(self, index: int) -> int:
        try:
            with self._reading or contextlib.nullcontext():
                label = label_of(self._item(index))
        except UnreadableImage:
            return -1
        if label is None:
            return -1
        if not is_integer(label) or int(label) < -1:
            raise ValueError(
                f"labels: {self.where(index)}: expected 0, 1, ... or -1 (missing), got {label!r}"
            )
        return int(label)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reading": self._reading is not None, "_labelling": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        reading = threading.Lock() if state["_reading"] else None
        self.__dict__.update(state, _reading=reading, _labelling=threading.Lock())


def is_dataset(value: object) -> bool:
    """Whether a value looks like a data set: not a path, an array or a builtin collection."""
    builtin = str | bytes | bytearray | memoryview | list | tuple | set | frozenset | Mapping
    if isinstance(value, builtin) or hasattr(value, "__array__"):
        return False
    kind = _torch_kind("Dataset")
    return (kind is not None and isinstance(value, kind)) or (
        hasattr(type(value), "__len__") and hasattr(type(value), "__getitem__")
    )


def probed(source: Source) -> list[np.ndarray | str]:
    """Evenly spaced images, or the reason why one cannot be read, for a fingerprint."""
    images: list[np.ndarray | str] = []
    for index in range(0, len(source), -(-len(source) // _PROBED_IMAGES)):
        try:
            images.append(source.read(index))
        except UnreadableImage as error:
            images.append(error.reason)
    return images


def _length(dataset: Any, name: str) -> int:
    iterable = _torch_kind("IterableDataset")
    if iterable is not None and isinstance(dataset, iterable):
        raise ValueError(
            f"data: {name}: expected a map-style data set (with __len__ and __getitem__) or "
            "tar shards, since images are drawn by index, got an IterableDataset"
        )
    try:
        n = len(dataset)
    except (TypeError, NotImplementedError):
        raise ValueError(
            f"data: {name}: expected a map-style data set (with __len__ and __getitem__), got one "
            "without a length"
        ) from None
    if n == 0:
        raise ValueError(f"data: no image in {name}")
    return n


def _torch_kind(name: str) -> Any:
    """A class of torch.utils.data, None where torch was never imported."""
    return getattr(sys.modules.get("torch.utils.data"), name, None)


def _wraps(dataset: object, name: str) -> bool:
    kind = _torch_kind(name)
    return kind is not None and isinstance(dataset, kind)


def _is_of(dataset: Any, package: str) -> bool:
    """Whether the code that reads an item belongs to a package, and not to a user's subclass."""
    return str(getattr(type(dataset).__getitem__, "__module__", "")).startswith(package)


def _reads_in_threads(dataset: Any) -> bool:
    if _is_of(dataset, "torch.utils.data."):
        if _wraps(dataset, "Subset"):
            return _reads_in_threads(dataset.dataset)
        if _wraps(dataset, "ConcatDataset"):
            return all(_reads_in_threads(part) for part in dataset.datasets)
        return _wraps(dataset, "TensorDataset")
    return _is_of(dataset, "torchvision.") and any(hasattr(dataset, name) for name in _FILES)
