"""The labelled images in parts: to train on, to stop by, to compare on; each a CSV file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.classification.labels import Labelled
from jessl.core.files import atomic_write
from jessl.core.validation import escape_control
from jessl.data import Source, Subset, split_by_class
from jessl.data.labels import labels_from_csv, number_cells
from jessl.data.sources.relabel import SourceWithLabels

# images to stop a training by, at least: the accuracy on fewer is noise, which stops too early
LEAST_TO_STOP = 100
_COMPARED, _COMPARED_OF_FEW, _STOPPED = 0.2, 0.25, 0.2


@dataclass(frozen=True, eq=False)
class LabelParts:
    """The labelled images of a source, divided by class.

    Attributes:
        classes: names of the classes.
        all: int64 [n], the images; labels: int64 [n], their classes.
        fit: images to train on, those to stop by included; compare: the others.
        stop: how many of `fit` are held out to stop the training by.
    """

    classes: tuple[str, ...]
    all: NDArray[np.int64]
    labels: NDArray[np.int64]
    fit: NDArray[np.int64]
    compare: NDArray[np.int64]
    stop: int

    def names(self, index: NDArray[np.int64]) -> NDArray[np.str_]:
        """The class names of labelled images."""
        place = np.searchsorted(self.all, index)
        return np.array(self.classes)[self.labels[place]]

    def trained(self, fit: Source, seed: int) -> NDArray[np.int64]:
        """Those of the images to fit that a run trains on, without those that stop it.

        Args:
            fit: all images, with the labels of the part `fit` alone.
            seed: of the run.
        """
        rows = np.sort(self.fit)
        train, _ = split_by_class(Subset(fit, rows), self.stop, seed)
        return rows[train.indices]


def divide(images: Source, labelled: Labelled, seed: int) -> LabelParts:
    """Divide by class: 60 % to train on, 20 % to stop by, 20 % to compare on.

    Where these 20 % are fewer than 100 images: 75 % to train on, 25 % to compare on.

    Raises:
        ValueError: for a class with one image.
    """
    cells = dict(zip(labelled.index.tolist(), labelled.texts, strict=True))
    labels, classes = number_cells(cells, len(images))
    assert labels is not None
    assert classes is not None
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    if counts.min() < 2:
        alone = int(counts.argmin())
        at = int(np.flatnonzero(labels == alone)[0])
        raise ValueError(
            f"labels: expected at least two images of each class, got one of "
            f"{escape_control(classes[alone])!r}, {escape_control(images.key(at))!r}"
        )
    n = len(labelled.index)
    stop = round(_STOPPED * n)
    enough = stop >= LEAST_TO_STOP
    count = max(1, round((_COMPARED if enough else _COMPARED_OF_FEW) * n))
    named = Subset(SourceWithLabels(images, labels, classes), labelled.index)
    fit, compare = split_by_class(named, count, seed)
    return LabelParts(
        classes,
        labelled.index,
        labels[labelled.index],
        labelled.index[fit.indices],
        labelled.index[compare.indices],
        stop if enough else 0,
    )


def write_labels(path: Path, images: Source, parts: LabelParts, index: NDArray[np.int64]) -> Source:
    """Write a CSV file with the labels of some images; the images with these labels alone.

    Raises:
        ValueError: where the file would not bring the same labels back.
    """
    rows = [
        (images.key(i), name) for i, name in zip(index.tolist(), parts.names(index), strict=True)
    ]
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    source = labels_from_csv(images, path)
    labels, classes = source.labels, source.classes
    same = labels is not None and np.array_equal(np.flatnonzero(labels >= 0), np.sort(index))
    if not same or classes != parts.classes:
        raise ValueError(
            f"labels: class names that a CSV file does not hold as they are, among "
            f"{', '.join(map(repr, parts.classes[:3]))}; give --labels with plain names"
        )
    return source
