"""The labelled rows of embeddings, checked and matched, and the rows that must stay together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.class_names import (
    LabelledSet,
    MatchedLabels,
    check_enough_names,
    match_labels,
    names_for_unnamed,
)
from jessl.embeddings import Embeddings
from jessl.probes.split import inseparable_units
from jessl.probes.standardize import CHUNK, release_pages


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """The labelled rows of embeddings.

    Attributes:
        x: float32 [n, d]; y: int64 [n]; ids: int64 [n].
        units: int64 [n], equal for rows of one group or image; None where all are independent.
        missing: rows without a label, left out.
        argument: what messages call the rows: train, test, ...
        classes: names of the labels 0, 1, ...; None where they are numbers only.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    ids: NDArray[np.int64]
    units: NDArray[np.int64] | None
    missing: int
    argument: str = "train"
    classes: tuple[str, ...] | None = None

    def rows(self, index: NDArray[np.intp]) -> LabelledRows:
        """Some of the rows."""
        units = None if self.units is None else self.units[index]
        return replace(self, x=self.x[index], y=self.y[index], ids=self.ids[index], units=units)

    def matched_to(self, train: LabelledRows) -> tuple[LabelledRows, MatchedLabels]:
        """The rows with their labels in the numbers of `train`, matched by class name.

        Raises:
            ValueError: as `jessl.core.class_names.match_labels`.
        """
        sets = [LabelledSet(one.argument, one.y, one.classes) for one in (train, self)]
        matched = match_labels(*sets)
        return replace(self, y=matched.labels), matched


@dataclass(frozen=True, eq=False)
class LabelledPair:
    """Labelled rows to fit on and to test on, with the same numbers for the same classes.

    Attributes:
        train, test: the rows; labels are the numbers of train.
        names: number -> name of a class; empty where neither side has names.
        unseen: names, or numbers as text, of the classes of test that train lacks.
    """

    train: LabelledRows
    test: LabelledRows
    names: Mapping[int, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


def class_names_of(data: Embeddings, argument: str) -> tuple[str, ...] | None:
    """Names of the labels 0, 1, ... in the provenance; None without names.

    Raises:
        ValueError: where they are no list of names.
    """
    names = data.meta.get("classes")
    if names is None or names == []:
        return None
    if not isinstance(names, list) or not all(isinstance(n, str | int | float) for n in names):
        raise ValueError(f"{argument}: expected a list of names as classes in the meta data")
    return tuple(str(name) for name in names)


# names that a user gives: a sequence, "a,b,c", or a file
ClassNames = str | Path | Iterable[str] | None


def names_of_unnamed(class_names: ClassNames, **data: Embeddings) -> tuple[str, ...] | None:
    """Names that a user gives for those of the embeddings whose labels have none.

    Raises:
        ValueError: for invalid names, and where all the embeddings have names.
    """
    if class_names is None:
        return None
    has = {
        argument.replace("_", " "): class_names_of(one, argument) is not None
        for argument, one in data.items()
    }
    return names_for_unnamed(class_names, has)


def labelled_pair(
    train: Embeddings, test: Embeddings, class_names: ClassNames = None
) -> LabelledPair:
    """The labelled rows of both, with labels matched by class name.

    Args:
        train, test: with labels.
        class_names: names of the labels 0, 1, ... of the set that has none.

    Raises:
        ValueError: as `labelled_rows`, `check_comparable` and `LabelledRows.matched_to`.
    """
    names = names_of_unnamed(class_names, train=train, test=test)
    train_rows = labelled_rows("train", train, names)
    test_rows = labelled_rows("test", test, names)
    check_comparable(train, test, "test")
    test_rows, matched = test_rows.matched_to(train_rows)
    return LabelledPair(train_rows, test_rows, matched.names, matched.absent)


def labelled_alone(train: Embeddings, class_names: ClassNames = None) -> LabelledPair:
    """The labelled rows of a set that is tested on itself, fold by fold; `test` is `train`.

    Raises:
        ValueError: as `labelled_rows`.
    """
    rows = labelled_rows("train", train, names_of_unnamed(class_names, train=train))
    return LabelledPair(rows, rows, dict(enumerate(rows.classes or ())))


def labelled_rows(
    argument: str, data: Embeddings, class_names: tuple[str, ...] | None = None
) -> LabelledRows:
    """The labelled rows.

    Args:
        argument: what messages call the rows.
        data: with labels.
        class_names: names of its classes where it has none.

    Raises:
        ValueError: without labelled rows, for NaN or infinite features (counted), and for labels
            beyond `class_names`.
    """
    if not isinstance(data, Embeddings):
        raise ValueError(
            f"{argument}: expected Embeddings, got {type(data).__name__}; of arrays these are "
            "jessl.Embeddings(features, labels)"
        )
    labelled = data.labelled()
    if labelled.labels is None or not len(labelled):
        bare = str(data.meta.get("file", "")).endswith(".npy")
        hint = "; a .npy file holds features alone, .npz also labels" if bare else ""
        raise ValueError(f"{argument}: none of the {len(data)} rows has a label{hint}")
    bad = 0
    for start in range(0, len(labelled), CHUNK):
        part = labelled.features[start : start + CHUNK]
        bad += int((~np.isfinite(part).all(axis=1)).sum())
        release_pages(part)
    if bad:
        raise ValueError(
            f"{argument}: {bad} of {len(labelled)} labelled rows hold NaN or infinite values"
        )
    classes = class_names_of(data, argument)
    if classes is None and class_names is not None:
        classes = class_names
        check_enough_names(LabelledSet(argument, labelled.labels), classes)
    return LabelledRows(
        labelled.features,
        labelled.labels,
        labelled.ids,
        inseparable_units(labelled.ids, labelled.groups),
        len(data) - len(labelled),
        argument,
        classes,
    )


def count_rows_of_shared_groups(train: Embeddings, test: Embeddings) -> int | None:
    """Labelled rows of test whose group has labelled rows in train; None without groups."""
    one, two = train.labelled().groups, test.labelled().groups
    if one is None or two is None:
        return None
    return int((np.isin(two, one) & (two != -1)).sum())


def check_comparable(train: Embeddings, other: Embeddings, argument: str) -> None:
    """Refuse embeddings to which a probe of `train` does not apply.

    Raises:
        ValueError: for another number of features, and for another encoder, weights or layer where
            the provenance of both records these.
    """
    if train.d != other.d:
        raise ValueError(f"{argument}: expected {train.d} features as in train, got {other.d}")
    one, two = train.meta, other.meta
    for what in ("encoder", "weights", "layer"):
        a, b = one.get(what), two.get(what)
        if a is not None and b is not None and a != b:
            raise ValueError(
                f"{argument}: expected {what} {_shorten(a)} as in train, got {_shorten(b)}"
            )


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
