"""Labels and class names that a data set lists, where its items are known to have just these."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from jessl.data.sources.dataset_items import is_integer

# the attribute from which `__getitem__` of torchvision's classes takes the label of an item
_LISTS = {
    "CIFAR10": "targets",
    "DTD": "_labels",
    "DatasetFolder": "samples",
    "FER2013": "_samples",
    "FGVCAircraft": "_labels",
    "Flowers102": "_labels",
    "Food101": "_labels",
    "GTSRB": "_samples",
    "Imagenette": "_samples",
    "MNIST": "targets",
    "RenderedSST2": "_samples",
    "SEMEION": "labels",
    "STL10": "labels",
    "SUN397": "_labels",
    "SVHN": "labels",
    "StanfordCars": "_samples",
    "USPS": "targets",
}


def proven_labels(dataset: object, n: int) -> np.ndarray | None:
    """The labels of all n items without reading them, int64, -1 where missing.

    None where the items may have others: the class has its own `__getitem__`, or a transform of
    targets. A comparison of some items with a list would prove nothing for the rest.
    """
    labels = _proven(dataset)
    return labels if labels is not None and len(labels) == n else None


def _proven(dataset: Any) -> np.ndarray | None:
    if _reads_like("torch.utils.data", "Subset", dataset):
        return _selected(_proven(dataset.dataset), dataset.indices)
    if _reads_like("torch.utils.data", "ConcatDataset", dataset):
        parts = [proven_labels(part, len(part)) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None
    if _reads_like("torch.utils.data", "TensorDataset", dataset):
        return _as_labels(dataset.tensors[1]) if len(dataset.tensors) > 1 else None
    if _changes_targets(dataset) or _reader(dataset) is not _torchvision_class(dataset):
        return None
    return _torchvision_list(dataset)


def names_hold(dataset: object, labels: np.ndarray) -> bool:
    """Whether the class names of a data set are those of labels that were read item by item.

    Names of torchvision's classes hold for the labels that the class lists.
    """
    if not names_may_differ(dataset):
        return True
    listed, known = _listed(dataset), labels >= 0
    return (
        listed is not None
        and len(listed) == len(labels)
        and np.array_equal(listed[known], labels[known])
    )


def names_may_differ(dataset: Any) -> bool:
    """Whether class names are torchvision's, and labels come from other code or a transform."""
    if _reads_like("torch.utils.data", "Subset", dataset):
        return names_may_differ(dataset.dataset)
    if not any(_is_torchvision(kind) for kind in type(dataset).__mro__):
        return False
    return not _is_torchvision(_reader(dataset)) or _changes_targets(dataset)


def _listed(dataset: Any) -> np.ndarray | None:
    """The labels that torchvision's class of a data set lists, whatever its items have."""
    if _reads_like("torch.utils.data", "Subset", dataset):
        return _selected(_listed(dataset.dataset), dataset.indices)
    return _torchvision_list(dataset)


def _is_torchvision(kind: type | None) -> bool:
    return str(getattr(kind, "__module__", "")).startswith("torchvision.")


def class_names(dataset: Any) -> tuple[str, ...] | None:
    """The names of the labels 0, 1, ... that a data set has as `classes`."""
    if _reads_like("torch.utils.data", "Subset", dataset):
        return class_names(dataset.dataset)
    names = getattr(dataset, "classes", None)
    if not isinstance(names, list | tuple) or not names:
        return None
    # ImageNet has several names for each class
    return tuple(name if isinstance(name, str) else ", ".join(map(str, name)) for name in names)


def _reader(dataset: object) -> type | None:
    """The class whose `__getitem__` reads an item."""
    return next((kind for kind in type(dataset).__mro__ if "__getitem__" in vars(kind)), None)


def _torchvision_class(dataset: object) -> type | None:
    """The first class of `_LISTS` among those of a data set."""
    for kind in type(dataset).__mro__:
        if kind.__name__ in _LISTS and _is_torchvision(kind):
            return kind
    return None


def _torchvision_list(dataset: object) -> np.ndarray | None:
    kind = _torchvision_class(dataset)
    return None if kind is None else _as_labels(getattr(dataset, _LISTS[kind.__name__], None))


def _changes_targets(dataset: object) -> bool:
    """Whether a transform of targets is set, by itself or in one of images and targets."""
    if getattr(dataset, "target_transform", None) is not None:
        return True
    both = getattr(dataset, "transforms", None)
    standard = getattr(sys.modules.get("torchvision.datasets.vision"), "StandardTransform", None)
    if both is None or type(both) is standard:
        return getattr(both, "target_transform", None) is not None
    return True


def _reads_like(module: str, name: str, dataset: object) -> bool:
    """Whether items are read by the code of this class, and not by that of a subclass."""
    # None where torch was never imported
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(dataset, kind) and _reader(dataset) is kind


def _selected(labels: np.ndarray | None, indices: object) -> np.ndarray | None:
    rows = np.asarray(indices)
    if labels is None or rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        return None
    if not -len(labels) <= rows.min() <= rows.max() < len(labels):
        return None
    return labels[rows]


def _as_labels(column: object) -> np.ndarray | None:
    """Integers of a list, an array or pairs of a path and an integer; None for anything else."""
    values = column.tolist() if hasattr(column, "tolist") else column
    if not isinstance(values, list | tuple) or not values:
        return None
    if isinstance(values[0], tuple):
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in values):
            return None
        values = [label for _, label in values]
    if not all(value is None or is_integer(value) for value in values):
        return None
    try:
        labels = np.array([-1 if value is None else int(value) for value in values], np.int64)
    except OverflowError:
        return None
    return labels if labels.min() >= -1 else None
