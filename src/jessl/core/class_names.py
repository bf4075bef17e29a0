"""Matching of the labels of two data sets by the names of their classes, never by position."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import escape_control

_REMEDY = "name its classes with --class-names FILE or a,b,c (class_names= in Python)"
_MOST_NAMES = 3
_MOST_FILE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """The labels of one set, and what they mean.

    Attributes:
        argument: what messages call the set: train, test, ...
        labels: int64 [n], -1 where missing.
        names: names of the labels 0, 1, ...; None where the labels are numbers only.
    """

    argument: str
    labels: NDArray[np.int64]
    names: Sequence[str] | None = None

    def used(self) -> list[int]:
        """The labels that occur, sorted."""
        return [int(k) for k in np.unique(self.labels[self.labels >= 0])]


@dataclass(frozen=True, eq=False)
class MatchedLabels:
    """The labels of a second set in the numbers of the first.

    Attributes:
        labels: int64 [n], -1 where missing; classes that the first set lacks have numbers that it
            does not use.
        names: number -> name, of both sets; empty where neither has names.
        absent: names, or numbers as text, of the classes of the second set that occur and that the
            first lacks.
    """

    labels: NDArray[np.int64]
    names: Mapping[int, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


def match_labels(train: LabelledSet, test: LabelledSet) -> MatchedLabels:
    """The labels of `test` in the numbers of `train`, matched by class name.

    Equal lists of names, and two sets without names, keep their numbers. Where one set has names
    and the other numbers only, a number matches the name that is the same text ("10" and 10), if
    all numbers of the one are names of the other or the reverse.

    Raises:
        ValueError: where one set has names and the numbers of the other are not among them, where
            no class is in both sets, where a label has no name, and where a name is ambiguous.

    Example:
        >>> cats = LabelledSet("train", np.array([0, 1]), ["cat", "dog"])
        >>> match_labels(cats, LabelledSet("test", np.array([0, 1, -1]), ["dog", "fox"])).labels
        array([ 1,  2, -1])
    """
    if train.names is None and test.names is None:
        used = set(train.used())
        return MatchedLabels(
            test.labels, absent=tuple(str(k) for k in test.used() if k not in used)
        )
    if train.names is not None and test.names is not None:
        same = [_normalised(n) for n in train.names] == [_normalised(n) for n in test.names]
        if same:
            names = dict(enumerate(map(str, train.names)))
            used = set(train.used())
            absent = tuple(names.get(k, str(k)) for k in test.used() if k not in used)
            return MatchedLabels(test.labels, names, absent)
    elif not _numbers_are_names(train, test):
        named, other = (train, test) if train.names is not None else (test, train)
        raise ValueError(
            f"{other.argument}: expected class names as {named.argument} has "
            f"({_listed(named.names or ())}), got numbers only; {_REMEDY}"
        )
    return _renumbered(train, test)


def _renumbered(train: LabelledSet, test: LabelledSet) -> MatchedLabels:
    known, theirs = _names_of(train), _names_of(test)
    number = {_normalised(name): k for k, name in known.items()}
    used = set(train.used())
    names = dict(known)
    next_free = max([*known, *used, len(train.names or ()) - 1], default=-1) + 1
    place: dict[int, int] = {}
    absent = []
    for k, name in theirs.items():
        at = number.get(_normalised(name))
        if at is None:
            # numbers keep their value where train has numbers
            at = int(name) if train.names is None and _is_number(name) else next_free
            next_free = max(next_free, at + 1)
            names[at] = name
        if at not in used:
            absent.append(name)
        place[k] = at
    if theirs and len(absent) == len(theirs):
        raise ValueError(
            f"{test.argument}: expected classes of {train.argument} "
            f"({_listed([known[k] for k in sorted(used)])}), got none of them "
            f"({_listed(list(theirs.values()))})"
        )
    labels = np.full(len(test.labels), -1, np.int64)
    for k, at in place.items():
        labels[test.labels == k] = at
    return MatchedLabels(labels, names, tuple(absent))


def _names_of(one: LabelledSet) -> dict[int, str]:
    """Name of every label that occurs; of a set with numbers only the numbers as text."""
    if one.names is None:
        return {k: str(k) for k in one.used()}
    names = {}
    counts = Counter(_normalised(name) for name in one.names)
    for k in one.used():
        if k >= len(one.names):
            raise ValueError(
                f"{one.argument}: expected a name for every label, got label {k} and "
                f"{len(one.names)} class names"
            )
        names[k] = str(one.names[k])
        if counts[_normalised(names[k])] > 1:
            raise ValueError(
                f"{one.argument}: expected class names that differ, got "
                f"{escape_control(names[k])!r} for several labels"
            )
    return names


def _numbers_are_names(one: LabelledSet, two: LabelledSet) -> bool:
    named, numbered = (one, two) if one.names is not None else (two, one)
    numbers = {str(k) for k in numbered.used()}
    names = {_normalised(name) for name in named.names or ()}
    occurring = {_normalised(name) for name in _names_of(named).values()}
    return numbers <= names or occurring <= numbers


def _normalised(name: str) -> str:
    """One form of names that look the same: file systems compose accents differently."""
    return unicodedata.normalize("NFC", str(name))


def _is_number(name: str) -> bool:
    return name.isdecimal() and len(name) < 19 and str(int(name)) == name


def _listed(names: Sequence[str]) -> str:
    shown = [escape_control(str(name))[:40] for name in names[:_MOST_NAMES]]
    return ", ".join(shown) + (f", ... {len(names)} in all" if len(names) > _MOST_NAMES else "")


def parse_class_names(value: str | Path | Iterable[str]) -> tuple[str, ...]:
    """Class names of the labels 0, 1, ...: a sequence, "a,b,c", or a UTF-8 file with one a line.

    Raises:
        ValueError: for a file that does not exist or cannot be read, fewer than two names, empty
            names and names that come twice.
    """
    if isinstance(value, str | Path):
        names = _from_text(value)
    else:
        try:
            names = [name.strip() if isinstance(name, str) else str(name) for name in value]
        except TypeError:
            raise ValueError(
                f"class_names: expected names, or a file of them, got {type(value).__name__}"
            ) from None
    if len(names) < 2:
        raise ValueError(f"class_names: expected at least two names, got {len(names)}")
    empty = [k for k, name in enumerate(names) if not name]
    if empty:
        raise ValueError(f"class_names: expected a name for every label, got none for {empty[0]}")
    twice = [name for name, count in Counter(map(_normalised, names)).items() if count > 1]
    if twice:
        raise ValueError(
            f"class_names: expected names that differ, got {escape_control(twice[0])!r} twice"
        )
    return tuple(escape_control(name) for name in names)


def _from_text(value: str | Path) -> list[str]:
    path, shown = Path(value), escape_control(str(value))
    if isinstance(value, str) and "," in value and os.sep not in value and not path.exists():
        return [name.strip() for name in value.split(",")]
    try:
        if not path.is_file():
            raise ValueError(f"class_names: expected a file or names a,b,c, got {shown}")
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise ValueError(f"class_names: {shown}: expected at most {_MOST_FILE_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"class_names: {shown} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"class_names: {shown} cannot be read: {error.strerror}") from None
    return [line.strip() for line in text.rstrip().splitlines()]


def names_for_unnamed(
    value: str | Path | Iterable[str] | None, has_names: Mapping[str, bool]
) -> tuple[str, ...] | None:
    """Class names that a user gives for the sets without names; None where none are given.

    Args:
        value: as for `parse_class_names`, or None.
        has_names: argument of each set -> whether it has class names.

    Raises:
        ValueError: as `parse_class_names`, and where every set has names.
    """
    if value is None:
        return None
    names = parse_class_names(value)
    if all(has_names.values()):
        raise ValueError(
            "class_names: expected a set whose labels have no names, got class names in "
            f"{' and '.join(has_names)}"
        )
    return names


def check_enough_names(one: LabelledSet, names: Sequence[str]) -> None:
    """Refuse labels that have no name.

    Raises:
        ValueError: for a label beyond the names.
    """
    largest = int(one.labels.max(initial=-1))
    if largest >= len(names):
        raise ValueError(
            f"class_names: expected a name for every label of {one.argument} (0 to {largest}), "
            f"got {len(names)}"
        )
