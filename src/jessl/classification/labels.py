"""Labels of a CSV file for some images of a source: checked, and what kind they are."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import escape_control
from jessl.data import Source
from jessl.data.labels import number_cells, read_label_cells

TASKS = ("single-label", "multi-label", "regression")
# whole numbers with more different values than this may be measurements
_MOST_NUMBERS = 20
_WHOLE = re.compile(r"[+-]?\d{1,18}")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with labels, in the order of the source.

    Attributes:
        index: int64 [m], the images.
        texts: [m], their labels: class names, several apart by ";", or numbers.
        warnings: lines about labels that are doubtful.
    """

    index: NDArray[np.int64]
    texts: Sequence[str]
    warnings: tuple[str, ...] = ()

    @property
    def sets(self) -> list[frozenset[str]]:
        """The labels of each image, for multi-label."""
        return [split_labels(text) for text in self.texts]

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The labels as numbers, for regression."""
        return np.array([float(text) for text in self.texts])


def split_labels(text: str) -> frozenset[str]:
    """The labels in "a; b"."""
    return frozenset(label.strip() for label in text.split(";") if label.strip())


def read_labels(
    source: Source, path: str | Path | None, task: str | None, *, allow_missing: bool = False
) -> tuple[Labelled, str]:
    """The labelled images, and which of `TASKS` they are for.

    Args:
        source: the images.
        path: a CSV file with the columns path,label; None: the labels of the source.
        task: as requested; None: detected, and refused where it could be another.
        allow_missing: whether the file may name images that the source lacks.

    Raises:
        ValueError: for images that are not there (counted, the first named), labels that could be
            of another task, labels that differ by case or blanks only, fewer than two classes.
    """
    if path is None:
        cells, shown = _own_labels(source), source.name
    else:
        read = read_label_cells(source, path, allow_missing=allow_missing)
        shown = read.shown
        cells = read.cells
    if task is None:
        _ask(cells, source, shown)
        task = "single-label"
    if task == "single-label":
        labels, classes = number_cells(cells, len(source))
        if labels is None or classes is None:
            raise ValueError(f"labels: {shown}: no image has a label")
        cells = {i: classes[labels[i]] for i in cells if labels[i] >= 0}
    index = np.array(sorted(cells), np.int64)
    texts = [cells[i] for i in index.tolist()]
    if not texts:
        raise ValueError(f"labels: {shown}: no image has a label")
    labelled = Labelled(index, texts)
    if task == "regression":
        _check_numbers(labelled, source, shown)
        return labelled, task
    names = Counter(
        label for text in texts for label in (split_labels(text) if task != TASKS[0] else {text})
    )
    check_spelling(names, shown)
    if task == "single-label" and len(names) < 2:
        only = escape_control(next(iter(names)))
        raise ValueError(
            f"labels: {shown}: expected at least two classes, got {only!r} for all "
            f"{len(texts)} images"
        )
    return Labelled(index, texts, _alone(labelled, names, source, task)), task


def _own_labels(source: Source) -> dict[int, str]:
    labels, classes = source.labels, source.classes
    if labels is None:
        raise ValueError(
            f"labels: expected a CSV file with the columns path,label, as {source.name} has no "
            "labels of its own"
        )
    rows = np.flatnonzero(labels >= 0).tolist()
    return {i: str(labels[i]) if classes is None else classes[labels[i]] for i in rows}


def _ask(cells: Mapping[int, str], source: Source, shown: str) -> None:
    """Refuse labels that may be of another task than one class an image."""
    several = [i for i, text in cells.items() if ";" in text]
    if several:
        example = escape_control(cells[several[0]])
        raise ValueError(
            f"labels: {shown}: {len(several)} labels hold a semicolon, such as {example!r} of "
            f"{escape_control(source.key(several[0]))!r}: add --multi-label where they are several "
            "labels, or --single-label where it is a class name"
        )
    values = list(cells.values())
    if not values or not all(map(_is_number, values)):
        return
    different = set(values)
    broken = next((text for text in values if not _WHOLE.fullmatch(text)), None)
    often = 2 * len(different) < len(values)
    if broken is not None or (len(different) > _MOST_NUMBERS and not often):
        example = broken or values[0]
        raise ValueError(
            f"labels: {shown}: the labels are {len(different)} different numbers, such as "
            f"{example}: add --regression where they are measurements, or --single-label where "
            "each is a class"
        )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_numbers(labelled: Labelled, source: Source, shown: str) -> None:
    for i, text in zip(labelled.index.tolist(), labelled.texts, strict=True):
        if not _is_number(text):
            raise ValueError(
                f"labels: {shown}: expected numbers for --regression, got "
                f"{escape_control(text)!r} for {escape_control(source.key(i))!r}"
            )
    if len(set(labelled.numbers.tolist())) < 2:
        raise ValueError(
            f"labels: {shown}: expected at least two different numbers, got {labelled.texts[0]} "
            f"for all {len(labelled.texts)} images"
        )


def check_spelling(names: Mapping[str, int], shown: str) -> None:
    """Refuse labels that differ by case, blanks or leading zeros only.

    Raises:
        ValueError: naming the first two, with their counts.
    """
    first: dict[str, str] = {}
    for name in sorted(names):
        text = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        key = str(int(text)) if _WHOLE.fullmatch(text) else text
        other = first.setdefault(key, name)
        if other != name:
            one, two = escape_control(other), escape_control(name)
            if one.split() == two.split():  # a line of an error holds no repeated blanks
                one, two = one.replace(" ", "␣"), two.replace(" ", "␣")
            raise ValueError(
                f"labels: {shown}: {one!r} ({names[other]} images) and {two!r} "
                f"({names[name]}) differ only by case, blanks or zeros; write them alike"
            )


def _alone(
    labelled: Labelled, names: Mapping[str, int], source: Source, task: str
) -> tuple[str, ...]:
    """A warning about classes with one image, unless all have only one."""
    alone = [name for name, count in names.items() if count == 1]
    if not alone or len(alone) == len(names):
        return ()
    at = next(
        i
        for i, text in zip(labelled.index.tolist(), labelled.texts, strict=True)
        if alone[0] in (split_labels(text) if task == "multi-label" else {text})
    )
    count = "1 class has" if len(alone) == 1 else f"{len(alone)} classes have"
    return (
        f"{count} a single labelled image, the first is {escape_control(alone[0])!r} with "
        f"{escape_control(source.key(at))!r}: how well it is recognised is unknown",
    )
