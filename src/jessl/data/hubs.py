"""Data sets of torchvision and of Hugging Face, by name."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jessl.data.arrays import ArraySource
from jessl.data.decode import UnreadableImage, decode, header_size, pixels
from jessl.data.sources import Source, checksum
from jessl.names import one_of, unknown

# torchvision's readers of a user's own folder: here a folder is given as a folder
_FOLDERS = ("VisionDataset", "DatasetFolder", "ImageFolder")
# attributes in which torchvision's data sets keep labels, or pairs of a path and a label
_LABELS = ("targets", "_labels", "labels", "y")
_PAIRS = ("_samples", "samples", "index")
# data sets with one of these open a file anew for each image, which threads may do at once
_FILES = ("_samples", "samples", "_images", "images", "_image_files", "imgs", "_files")
_PROBED_IMAGES = 16


class TorchvisionSource(Source):
    """A torchvision data set read item by item; ids are row numbers.

    Labels are those that the data set lists; where it lists none, all items are gone through once.
    Data sets that do not read one file an image are read by one thread at a time.

    Args:
        dataset: items are (Pillow image, label, ...); labels that are no integers are left out.
        name: what messages call it.

    Raises:
        ValueError: when it is empty or its items do not begin with a Pillow image.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self.name = name
        self._dataset = dataset
        self._lock = None if any(hasattr(dataset, a) for a in _FILES) else threading.Lock()
        n = len(dataset)
        if n == 0:
            raise ValueError(f"data: no image in {name}")
        self.ids = np.arange(n, dtype=np.int64)
        first = self._item(0)
        if not (isinstance(first, tuple) and first and isinstance(first[0], Image.Image)):
            kind = type(first[0] if isinstance(first, tuple) and first else first).__name__
            raise ValueError(
                f"data: {name} is no set of single images: its items begin with {kind}"
            )
        if len(first) > 1 and _is_integer(first[1]):
            listed = _listed_labels(dataset, n, int(first[1]))
            every = listed if listed is not None else [self._item(i)[1] for i in range(n)]
            labels = np.array([int(label) for label in every], dtype=np.int64)
            self.labels = labels if (labels >= 0).any() else None
            self.classes = None if self.labels is None else _classes(dataset)

    def read(self, index: int) -> np.ndarray:
        return pixels(self._item(index)[0], self.where(index))

    def key(self, index: int) -> str:
        return str(range(len(self))[index])

    def where(self, index: int) -> str:
        return f"item {self.key(index)} of {self.name}"

    def fingerprint(self) -> str:
        return checksum(self.name, str(len(self)), self.labels, *_probed(self))

    def _item(self, index: int) -> Any:
        try:
            with self._lock or contextlib.nullcontext():
                return self._dataset[index]
        except MemoryError:
            raise
        except Exception as error:  # a data set of torchvision raises what its reader raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UnreadableImage(self.where(index), reason) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": self._lock is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock() if state["_lock"] else None)


class HuggingFaceSource(Source):
    """A split of a Hugging Face data set; ids are row numbers.

    Images are the first column of images; labels the first column of class labels, else the
    column `label` where it holds integers.

    Args:
        dataset: a `datasets.Dataset`.
        name: what messages call it.

    Raises:
        ValueError: when it is empty or has no column of images.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        datasets: Any = import_module("datasets")
        self.name = name
        features = dict(dataset.features)
        images = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
        if not images or not len(dataset):
            raise ValueError(
                f"data: {name}: a column of images wanted, {len(dataset)} rows came with the "
                f"columns {', '.join(features)}"
            )
        self._column = images[0]
        encoded = dataset.cast_column(self._column, datasets.Image(decode=False))
        self._rows = encoded.select_columns([self._column])
        self.ids = np.arange(len(dataset), dtype=np.int64)
        named = [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
        if not named and "int" in str(getattr(features.get("label"), "dtype", "")):
            named = ["label"]
        if named:
            every = dataset.select_columns([named[0]])[:][named[0]]
            labels = np.array([-1 if x is None else int(x) for x in every], dtype=np.int64)
            if (labels >= 0).any():
                self.labels = labels
                names = getattr(features[named[0]], "names", None)
                self.classes = tuple(names) if names else None
        if len(named) > 1:
            self.notes = (f"{name}: labels are the column {named[0]} of {', '.join(named)}",)

    def read(self, index: int) -> np.ndarray:
        return decode(self._encoded(index), self.where(index))

    def size(self, index: int) -> tuple[int, int]:
        return header_size(self._encoded(index), self.where(index))

    def key(self, index: int) -> str:
        return str(range(len(self))[index])

    def where(self, index: int) -> str:
        return f"row {self.key(index)} of {self.name}"

    def fingerprint(self) -> str:
        return checksum(self.name, str(len(self)), self.labels, *_probed(self))

    def _encoded(self, index: int) -> bytes | Path:
        cell = self._rows[range(len(self))[index]][self._column]
        if cell is None:
            raise UnreadableImage(self.where(index), "no image in this row")
        return Path(cell["path"]) if cell["bytes"] is None else cell["bytes"]


def open_torchvision(spec: str, split: str | None = None) -> Source:
    """Open NAME[:split] of torchvision.datasets, from the disk if it is there, else downloaded.

    Files lie in the folder that the environment variable JESSL_DATA names, else ~/.cache/jessl.
    The split is train or test where torchvision has an argument `train`, else what its argument
    `split` takes; by default the one for training.

    Args:
        spec: NAME or NAME:split.
        split: the split, where `spec` does not say.

    Raises:
        ValueError: for an unknown name or split, or when the data can neither be found nor fetched.
    """
    import torchvision.datasets

    name, part = _name_and_split(spec, split, "torchvision")
    usable = {
        known: getattr(torchvision.datasets, known)
        for known in torchvision.datasets.__all__
        if known not in _FOLDERS and _opens_by_root(getattr(torchvision.datasets, known))
    }
    if name not in usable:
        raise ValueError(f"data: {unknown('data set torchvision:NAME', name, usable)}")
    shown = f"torchvision:{name}" + (f":{part}" if part else "")
    dataset = _constructed(usable[name], part, shown)
    images = getattr(dataset, "data", None)
    if not hasattr(images, "__array__"):
        return TorchvisionSource(dataset, shown)
    array = np.asarray(images)
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = array.transpose(0, 2, 3, 1)  # STL10 and SVHN keep channels first
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if labels is not None:
        labels = np.asarray(labels)
        # QMNIST keeps more columns about each digit behind its class
        labels = labels[:, 0] if labels.ndim == 2 else labels
    return ArraySource(array, labels, name=shown, classes=_classes(dataset))


def open_hugging_face(spec: str, split: str | None = None) -> Source:
    """Open NAME[:split] with the package `datasets`; the split is train by default.

    Raises:
        ValueError: when the package is not installed, or cannot load the data.
    """
    name, part = _name_and_split(spec, split, "hf")
    try:
        datasets: Any = import_module("datasets")
    except ImportError:
        raise ValueError(
            f"data: hf:{spec} needs the package datasets: pip install datasets"
        ) from None
    part = part or "train"
    shown = f"hf:{name}:{part}"
    try:
        dataset = datasets.load_dataset(name, split=part)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"data: {shown} cannot be loaded: {_line(error)}") from error
    return HuggingFaceSource(dataset, shown)


def _probed(source: Source) -> list[np.ndarray | str]:
    """Evenly spaced images, or the reason why one cannot be read, for a fingerprint."""
    found: list[np.ndarray | str] = []
    for index in range(0, len(source), -(-len(source) // _PROBED_IMAGES)):
        try:
            found.append(source.read(index))
        except UnreadableImage as error:
            found.append(error.reason)
    return found


def _name_and_split(spec: str, split: str | None, kind: str) -> tuple[str, str | None]:
    name, _, part = spec.partition(":")
    if part and split is not None and part != split:
        raise ValueError(f"split: {kind}:{spec} names another split than {split!r}")
    return name, part or split


def _opens_by_root(kind: Any) -> bool:
    """Whether a data set of torchvision needs nothing but a folder and perhaps a split."""
    if not inspect.isclass(kind):
        return False
    needed = {
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    return needed <= {"root", "split"}


def _constructed(kind: Any, part: str | None, shown: str) -> Any:
    taken = inspect.signature(kind).parameters
    options: dict[str, Any] = {}
    if "train" in taken:
        options["train"] = (
            one_of(f"split of {shown}", part or "train", ("train", "test")) == "train"
        )
    elif "split" in taken and part is not None:
        options["split"] = part
    elif "split" in taken and taken["split"].default is inspect.Parameter.empty:
        raise ValueError(f"split: {shown} needs one: {shown}:SPLIT")
    elif part is not None:
        raise ValueError(f"split: torchvision:{kind.__name__} has no splits, {part!r} came")
    home = os.environ.get("JESSL_DATA")
    root = Path(home).expanduser() if home else Path.home() / ".cache" / "jessl"
    if "root" in taken:
        options["root"] = str(root)
    downloads = any(
        "download" in inspect.signature(base.__init__).parameters
        for base in kind.__mro__
        if "__init__" in vars(base)
    )
    # torchvision prints while it downloads, and standard output belongs to results
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return kind(**options, **({"download": False} if downloads else {}))
        except (RuntimeError, OSError, ImportError, ValueError) as error:
            if isinstance(error, ValueError | ImportError) or not downloads:
                raise ValueError(f"data: {shown}: {_line(error)}") from error
        try:
            root.mkdir(parents=True, exist_ok=True)
            return kind(**options, download=True)
        except (RuntimeError, OSError, ImportError, ValueError) as error:
            raise ValueError(
                f"data: {shown} is not in {root} (set by JESSL_DATA) and cannot be downloaded: "
                f"{_line(error)}"
            ) from error


def _listed_labels(dataset: Any, n: int, first: int) -> list[Any] | None:
    """Labels that a data set of torchvision lists, when the first is that of its first item."""
    for name in _LABELS:
        listed = getattr(dataset, name, None)
        if listed is not None and len(listed) == n and _is_integer(listed[0]):
            found = list(listed)
            return found if int(found[0]) == first else None
    for name in _PAIRS:
        listed = getattr(dataset, name, None)
        if not isinstance(listed, list) or len(listed) != n or not isinstance(listed[0], tuple):
            continue
        for place in range(len(listed[0])):
            if _is_integer(listed[0][place]) and int(listed[0][place]) == first:
                return [row[place] for row in listed]
    return None


def _is_integer(value: Any) -> bool:
    if isinstance(value, int | np.integer):
        return True
    return getattr(value, "ndim", None) == 0 and "int" in str(getattr(value, "dtype", ""))


def _classes(dataset: Any) -> tuple[str, ...] | None:
    names = getattr(dataset, "classes", None)
    if not isinstance(names, list | tuple) or not names:
        return None
    # ImageNet keeps several names for each class
    return tuple(name if isinstance(name, str) else ", ".join(map(str, name)) for name in names)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
