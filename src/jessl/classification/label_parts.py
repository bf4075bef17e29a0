"""The labelled images in parts or folds: to train on, to stop by, to compare on; as CSV files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.classification.finetune_folder import TRIAL
from jessl.classification.labels import Labelled
from jessl.core.files import atomic_write
from jessl.data import Source, Subset, split_by_class
from jessl.data.labels import labels_from_csv, number_cells
from jessl.data.sources.relabel import SourceWithLabels
from jessl.probes.split import assign_folds

# images to stop a training by, at least: the accuracy on fewer is noise, which stops too early
LEAST_TO_STOP = 100
_COMPARED, _COMPARED_OF_FEW, _STOPPED = 0.2, 0.25, 0.2
# a held-out part of so many images is compared on alone: where both networks differ on a fifth of
# them, its 95 % interval reaches 4 to 5 points to each side
ENOUGH_TO_COMPARE = 400
# the networks are trained on three quarters of the images then, as with one part of few
FOLDS = 4


@dataclass(frozen=True, eq=False)
class FinetuneTrial:
    """A division of the labelled images: some to train on, the others to compare on.

    Attributes:
        name: of its folder: trial, or trial-1, trial-2, ...
        fit: images to train on, those to stop by included; compare: images to compare on.
        stop: how many of `fit` are held out to stop the training by.
    """

    name: str
    fit: NDArray[np.int64]
    compare: NDArray[np.int64]
    stop: int

    @property
    def file(self) -> str:
        """The name of the file with the labels of `fit`: fit.csv, or fit-1.csv, fit-2.csv, ..."""
        return f"fit{self.name.removeprefix(TRIAL)}.csv"

    def trained(self, source: Source, seed: int) -> NDArray[np.int64]:
        """Those of the images to fit that a run trains on, without those that stop it.

        Args:
            source: all images, with the labels of the part `fit` alone.
            seed: of the run.
        """
        rows = np.sort(self.fit)
        train, _ = split_by_class(Subset(source, rows), self.stop, seed)
        return rows[train.indices]


@dataclass(frozen=True, eq=False)
class LabelParts:
    """The labelled images of a source, divided by class for one or several comparisons.

    Attributes:
        classes: names of the classes.
        all: int64 [n], the images; labels: int64 [n], their classes.
        trials: each image is compared on in one of them at most.
    """

    classes: tuple[str, ...]
    all: NDArray[np.int64]
    labels: NDArray[np.int64]
    trials: tuple[FinetuneTrial, ...]

    @property
    def alone(self) -> NDArray[np.int64]:
        """The images that are the only ones of their class."""
        return self.all[np.bincount(self.labels)[self.labels] == 1]

    def places(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """The classes of labelled images, as places in `classes`."""
        places: NDArray[np.int64] = self.labels[np.searchsorted(self.all, index)]
        return places

    def names(self, index: NDArray[np.int64]) -> NDArray[np.str_]:
        """The class names of labelled images."""
        return np.array(self.classes)[self.places(index)]


def divide(images: Source, labelled: Labelled, seed: int, folds: int | None = None) -> LabelParts:
    """Divide the labelled images by class, in folds that are each compared on once, or in parts.

    In parts: 60 % to train on, 20 % to stop by, 20 % to compare on. Where these 20 % are fewer than
    100 images: 75 % to train on, 25 % to compare on. With folds, all others than the fold are
    trained on, or stop the training where a fifth of all images is at least 100. The only image of
    a class is trained on in every trial.

    Args:
        folds: None: 1 where the 20 % to compare on are 400 images or more, else 4; 1: parts. No
            more than there are images of classes with two or more.

    Raises:
        ValueError: where no class has two images.
    """
    cells = dict(zip(labelled.index.tolist(), labelled.texts, strict=True))
    of_all, classes = number_cells(cells, len(images))
    assert of_all is not None
    assert classes is not None
    index, labels = labelled.index, of_all[labelled.index]
    n = len(index)
    several = np.flatnonzero(np.bincount(labels)[labels] > 1)
    if not len(several):
        raise ValueError(
            f"labels: expected at least two images of some class, to train on one and compare on "
            f"the other, got one of each of {len(classes)}"
        )
    stop = round(_STOPPED * n)
    enough = stop >= LEAST_TO_STOP
    stop = stop if enough else 0
    if folds is None:
        folds = 1 if round(_COMPARED * n) >= ENOUGH_TO_COMPARE else FOLDS
    folds = min(folds, len(several))
    if folds == 1:
        named = Subset(SourceWithLabels(images, of_all, classes), index[several])
        count = max(1, round((_COMPARED if enough else _COMPARED_OF_FEW) * len(several)))
        inside = np.isin(index, named.indices[split_by_class(named, count, seed)[1].indices])
        return LabelParts(
            classes, index, labels, (FinetuneTrial(TRIAL, index[~inside], index[inside], stop),)
        )
    fold = np.full(n, -1)
    fold[several] = assign_folds(labels[several], folds, seed)
    return LabelParts(
        classes,
        index,
        labels,
        tuple(
            FinetuneTrial(f"{TRIAL}-{k + 1}", index[fold != k], index[fold == k], stop)
            for k in range(folds)
        ),
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
