"""Data sets of torchvision and of Hugging Face, by name."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jessl.core.hashing import checksum
from jessl.core.hubs import (
    hub_or_cache,
    hub_remedy,
    is_network_error,
    no_stalled_downloads,
)
from jessl.core.validation import check_choice, unknown_name
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.image import (
    UnreadableImage,
    decode,
    file_facts,
    header_size,
    stored_values,
)
from jessl.data.decode.value_range import ValueRange
from jessl.data.sources.arrays import ArraySource
from jessl.data.sources.base import Source
from jessl.data.sources.dataset import DatasetSource, probed
from jessl.data.sources.dataset_labels import class_names
from jessl.data.sources.text_labels import numbered_texts

# torchvision's readers of a user's own folder: here a folder is given as a folder
_FOLDERS = ("VisionDataset", "DatasetFolder", "ImageFolder")


class HuggingFaceSource(Source):
    """A split of a Hugging Face data set; ids are row numbers.

    Images are the first column of images; labels the first column of class labels, else the
    column `label` where it holds integers or texts. Texts become class names in sorted order.

    Args:
        dataset: a `datasets.Dataset`.
        name: what messages call it.

    Raises:
        ValueError: when it is empty or has no column of images.
    """

    fast_decode = False

    def __init__(self, dataset: Any, name: str) -> None:
        datasets: Any = import_module("datasets")
        self.name = name
        features = dict(dataset.features)
        images = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
        if not images or not len(dataset):
            raise ValueError(
                f"data: {name}: expected a column of images, got {len(dataset)} rows with the "
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
        elif getattr(features.get("label"), "dtype", "") == "string":
            texts = dataset.select_columns(["label"])[:]["label"]
            labels, names, notes = numbered_texts(texts)
            if (labels >= 0).any():
                self.labels, self.classes = labels, names
            self.notes = tuple(f"{name}: {note}" for note in notes)
        elif "label" in features:
            self.notes = (
                f"{name}: the column label is left out: expected integers or texts, got "
                f"{features['label']}",
            )
        if len(named) > 1:
            self.notes = (f"{name}: labels are the column {named[0]} of {', '.join(named)}",)

    def read(self, index: int) -> np.ndarray:
        return decode(
            self._encoded(index),
            self.where(index),
            fast=bool(self.fast_decode),
            value_range=self.value_range,
        )

    def size(self, index: int) -> tuple[int, int]:
        return header_size(self._encoded(index), self.where(index))

    def facts(self, index: int) -> FileFacts:
        return file_facts(self._encoded(index), self.where(index))

    def stored_values(self, index: int) -> StoredValues | None:
        return stored_values(self._encoded(index), self.where(index))

    def encoded(self, index: int) -> bytes | None:
        data = self._encoded(index)
        return data if isinstance(data, bytes) else None

    def key(self, index: int) -> str:
        return str(range(len(self))[index])

    def where(self, index: int) -> str:
        return f"row {self.key(index)} of {self.name}"

    def fingerprint(self) -> str:
        return checksum(self.name, str(len(self)), self.labels, *probed(self), *self.range_key())

    def _encoded(self, index: int) -> bytes | Path:
        cell = self._rows[range(len(self))[index]][self._column]
        if cell is None:
            raise UnreadableImage(self.where(index), "no image in this row")
        return Path(cell["path"]) if cell["bytes"] is None else cell["bytes"]


def open_torchvision(
    spec: str, split: str | None = None, value_range: ValueRange | None = None
) -> Source:
    """Open NAME[:split] of torchvision.datasets, from the disk if it is there, else downloaded.

    Files lie in the folder that the environment variable JESSL_DATA names, else ~/.cache/jessl.
    The split is train or test where torchvision has an argument `train`, else what its argument
    `split` takes; by default the one for training.

    Args:
        spec: NAME or NAME:split.
        split: the split, where `spec` does not say.

    Raises:
        ValueError: for an unknown name or split, or data that are not here and cannot be fetched.
    """
    import torchvision.datasets

    name, part = _name_and_split(spec, split, "torchvision")
    usable = {
        known: getattr(torchvision.datasets, known)
        for known in torchvision.datasets.__all__
        if known not in _FOLDERS and _opens_by_root(getattr(torchvision.datasets, known))
    }
    if name not in usable:
        raise ValueError(f"data: {unknown_name('data set torchvision:NAME', name, usable)}")
    shown = f"torchvision:{name}" + (f":{part}" if part else "")
    dataset = _constructed(usable[name], part, shown)
    images = getattr(dataset, "data", None)
    if not hasattr(images, "__array__"):
        return DatasetSource(dataset, shown, value_range=value_range)
    array = np.asarray(images)
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = array.transpose(0, 2, 3, 1)  # STL10 and SVHN keep channels first
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if labels is not None:
        labels = np.asarray(labels)
        # QMNIST keeps more columns about each digit behind its class
        labels = labels[:, 0] if labels.ndim == 2 else labels
    return ArraySource(
        array, labels, name=shown, classes=class_names(dataset), value_range=value_range
    )


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
        with hub_or_cache():
            dataset = datasets.load_dataset(name, split=part)
    except Exception as error:
        if not is_network_error(error) and not isinstance(error, ValueError | RuntimeError):
            raise
        remedy = f"; {hub_remedy()}" if is_network_error(error) else ""
        raise ValueError(f"data: {shown} cannot be loaded: {_line(error)}{remedy}") from error
    return HuggingFaceSource(dataset, shown)


def _name_and_split(spec: str, split: str | None, kind: str) -> tuple[str, str | None]:
    name, _, part = spec.partition(":")
    if part and split is not None and part != split:
        raise ValueError(f"split: {kind}:{spec} names another split than {split!r}")
    return name, part or split


def _opens_by_root(kind: object) -> bool:
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
            check_choice(f"split of {shown}", part or "train", ("train", "test")) == "train"
        )
    elif "split" in taken and part is not None:
        options["split"] = part
    elif "split" in taken and taken["split"].default is inspect.Parameter.empty:
        raise ValueError(f"split: {shown} needs one: {shown}:SPLIT")
    elif part is not None:
        raise ValueError(
            f"split: expected None, since torchvision:{kind.__name__} has no splits, got {part!r}"
        )
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
            with no_stalled_downloads():
                return kind(**options, download=True)
        except (RuntimeError, OSError, ImportError, ValueError) as error:
            raise ValueError(
                f"data: {shown} is not in {root} (set by JESSL_DATA) and cannot be downloaded: "
                f"{_line(error)}; copy it there from a machine with network, or give its files as "
                "a folder of images"
            ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
