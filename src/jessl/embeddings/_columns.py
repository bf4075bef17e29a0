"""Which columns of a table, or arrays of a file, are features, labels and names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jessl.core.validation import escape_control, unknown_name

# usual names of columns, in lower case
LABELS = ("label", "labels", "y", "target", "targets", "class")
NAMES = ("name", "names", "path", "paths", "filename", "filenames", "file", "file_name", "key")
FEATURES = ("features", "embeddings", "embedding", "z", "x")
_NUMBERED = re.compile(r"(.*?)(\d+)")
_MOST_SHOWN = 3


@dataclass(frozen=True)
class Columns:
    """Which columns of a table, or arrays of a .npz or .safetensors file, are what.

    Attributes:
        features: names apart by commas, first:last for all columns from one to another, or
            prefix* for all that begin so; None: detected.
        label: one column; None: detected.
        name: one column; None: detected.
    """

    features: str | None = None
    label: str | None = None
    name: str | None = None


DETECTED = Columns()


@dataclass(frozen=True)
class ChosenColumns:
    """The columns that are read, and a line about how they were detected."""

    features: tuple[str, ...]
    label: str | None
    name: str | None
    note: str


def choose_columns(kinds: Mapping[str, str], requested: Columns) -> ChosenColumns:
    """Choose the columns of a table.

    Args:
        kinds: column -> number, list (of numbers) or other, in the order of the file.

    Raises:
        ValueError: for columns that are not there, and where several readings are possible.
    """
    label = _one("label-column", requested.label, LABELS, kinds)
    name = _one("name-column", requested.name, NAMES, kinds)
    rest = {c: kind for c, kind in kinds.items() if c not in (label, name)}
    if requested.features is None:
        features = _detected(rest)
    else:
        features = _expanded(requested.features, list(kinds))
        for column in features:
            if kinds[column] == "other":
                raise ValueError(
                    f"features-columns: expected columns of numbers, got {escape_control(column)!r}"
                )
    lists = [column for column in features if kinds[column] == "list"]
    if lists and len(features) > 1:
        raise ValueError(
            f"features-columns: expected one column of lists or columns of numbers, got "
            f"{_shown(features)}"
        )
    left_out = [column for column in rest if column not in features]
    parts = [f"features are {_shown(features)}"]
    parts += [f"labels {escape_control(label)!r}"] if label else ["no labels"]
    parts += [f"names {escape_control(name)!r}"] if name else ["no names"]
    parts += [f"left out are {_shown(left_out)}"] if left_out else []
    return ChosenColumns(tuple(features), label, name, ", ".join(parts))


def _one(
    option: str, requested: str | None, usual: Sequence[str], kinds: Mapping[str, str]
) -> str | None:
    """The column that was asked for, or the only one with a usual name."""
    if requested is not None:
        if requested not in kinds:
            raise ValueError(f"{option}: {unknown_name('column', requested, kinds)}")
        return requested
    candidates = [c for c in kinds if c.strip().lower() in usual and kinds[c] != "list"]
    if len(candidates) > 1:
        raise ValueError(
            f"{option}: expected one of the columns {_shown(candidates)}; say which with --{option}"
        )
    return candidates[0] if candidates else None


def _detected(kinds: Mapping[str, str]) -> list[str]:
    """Columns of lists, of numbered names, or all of numbers, whichever there is."""
    lists = [column for column, kind in kinds.items() if kind == "list"]
    usual = [column for column in lists if column.strip().lower() in FEATURES]
    lists = usual if len(usual) == 1 else lists
    families: dict[str, list[str]] = {}
    numbers = [column for column, kind in kinds.items() if kind == "number"]
    for column in numbers:
        if match := _NUMBERED.fullmatch(column):
            families.setdefault(match[1], []).append(column)
    several = [family for family in families.values() if len(family) > 1]
    readings = [*([column] for column in lists), *several]
    if not readings and numbers:
        readings = [numbers]
    if not readings:
        raise ValueError("features-columns: no column holds numbers")
    if len(readings) > 1:
        shown = " or ".join(_shown(reading) for reading in readings[:_MOST_SHOWN])
        raise ValueError(
            f"features-columns: features may be {shown}; say which with --features-columns "
            "FIRST:LAST, PREFIX* or names apart by commas"
        )
    return readings[0]


def _expanded(text: str, columns: list[str]) -> list[str]:
    """The columns that "a,b", "first:last" and "prefix*" name."""
    chosen: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        first, colon, last = part.partition(":")
        if part in columns:
            chosen.append(part)
        elif part.endswith("*"):
            begin = [column for column in columns if column.startswith(part[:-1])]
            if not begin:
                raise ValueError(f"features-columns: no column begins with {part[:-1]!r}")
            chosen += begin
        elif colon and first in columns and last in columns:
            between = columns[columns.index(first) : columns.index(last) + 1]
            if not between:
                raise ValueError(f"features-columns: column {last!r} is before {first!r}")
            chosen += between
        else:
            wrong = next(
                (end for end in (first, last) if colon and end not in columns),
                part,
            )
            raise ValueError(f"features-columns: {unknown_name('column', wrong, columns)}")
    return list(dict.fromkeys(chosen))


def _shown(columns: Sequence[str]) -> str:
    quoted = [repr(escape_control(column)) for column in columns]
    if len(quoted) <= _MOST_SHOWN:
        return ", ".join(quoted)
    return f"{len(quoted):,} columns {quoted[0]} .. {quoted[-1]}"
