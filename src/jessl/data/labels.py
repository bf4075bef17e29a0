"""Labels and groups from a CSV file, laid over a source."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jessl.core.class_names import (
    LabelledSet,
    check_enough_names,
    match_labels,
    names_for_unnamed,
)
from jessl.core.csv_files import restore
from jessl.core.hashing import hashed_ids
from jessl.core.validation import escape_control
from jessl.data.sources.base import Source
from jessl.data.sources.relabel import SourceWithLabels

# line, path, and the cells of the wanted columns
_Row = tuple[int, str, tuple[str, ...]]


def labels_from_csv(source: Source, path: str | Path, groups: str | None = None) -> Source:
    """The images of `source` with the labels, and the groups, of a CSV file in place of its own.

    The file is UTF-8 with a header that has the columns path and label (others are left alone).
    A path is relative to the folder, or absolute, for a folder of images; the key of the sample
    for shards; the row number (from 0) for arrays. An image whose cell is empty or that has no
    row is unlabelled (-1), and so is -1 where all labels are integers. Classes are the distinct
    labels, sorted as text, or as numbers where all are integers. Paths that the source lacks are
    counted in `notes`.

    Args:
        source: the images.
        path: the file.
        groups: a column whose cells name the group of each image, such as patient. A group's
            number is a hash of the cell, so the files of two sources agree. An empty cell or no
            row: -1, no group is known. The file needs no column label then: the labels of the
            source stay.

    Raises:
        ValueError: for a missing file, header, column or path, rows with surplus cells, two labels
            or two groups of one image, or when the source has none of the paths.
    """
    shown = escape_control(str(path))
    groups = None if groups is None else groups.strip()
    columns, rows = _rows(Path(path), shown, groups)
    matched, unknown = _known(source, rows, shown)
    notes = []
    if unknown:
        notes.append(
            f"{shown}: {_paths(unknown)} not in {source.name}, the first is "
            f"{escape_control(unknown[0])!r}"
        )
    labels, classes = source.labels, source.classes
    if "label" in columns:
        given = _cells(matched, columns.index("label"), "label", shown)
        labels, classes = number_cells(given, len(source))
        if labels is None:
            notes.append(f"{shown}: all labels are empty")
    if groups is None:
        return SourceWithLabels(source, labels, classes, tuple(notes))
    at = columns.index(groups)
    names = sorted({cells[at] for _, _, cells in rows} - {""})
    number = dict(zip(names, hashed_ids(names, shown).tolist(), strict=True))
    grouped = np.full(len(source), -1, dtype=np.int64)
    for index, name in _cells(matched, at, "group", shown).items():
        grouped[index] = number[name]
    alone = int((grouped == -1).sum())
    if alone == len(source):
        raise ValueError(
            f"groups: {shown}: no image of {source.name} has a cell in column {groups!r}"
        )
    if alone:
        notes.append(
            f"{shown}: {alone} of {len(source)} images have no group in column {groups!r}; each "
            "is a group by itself"
        )
    return SourceWithLabels(source, labels, classes, tuple(notes), grouped, groups)


@dataclass(frozen=True)
class LabelCells:
    """The column label of a CSV file, matched to the images of a source.

    Attributes:
        cells: image -> its cell, where that is not empty.
        unknown: paths of the file that the source lacks.
        rows: number of rows of the file.
        shown: the name of the file, for messages.
    """

    cells: dict[int, str]
    unknown: tuple[str, ...]
    rows: int
    shown: str


def read_label_cells(
    source: Source, path: str | Path, *, allow_missing: bool = False
) -> LabelCells:
    """The cells of the column label of a CSV file, as `labels_from_csv` reads them, as texts.

    Args:
        source: the images.
        path: the file.
        allow_missing: whether it may name images that the source lacks.

    Raises:
        ValueError: as `labels_from_csv`, and for images that are not there, counted, the first
            named.
    """
    shown = escape_control(str(path))
    columns, rows = _rows(Path(path), shown, None)
    matched, unknown = _known(source, rows, shown)
    if unknown and not allow_missing:
        count = len(unknown)
        raise ValueError(
            f"labels: {shown}: {count} of {len(rows)} images {'is' if count == 1 else 'are'} "
            f"not in {source.name}, the first is {escape_control(unknown[0])!r}; "
            "--allow-missing leaves them out"
        )
    cells = _cells(matched, columns.index("label"), "label", shown)
    return LabelCells(cells, tuple(unknown), len(rows), shown)


def _known(
    source: Source, rows: list[_Row], shown: str
) -> tuple[list[tuple[int, _Row]], list[str]]:
    """The rows of images that the source has, with their indices; the paths of the others."""
    known = {source.key(index): index for index in range(len(source))}
    matched, unknown = [], []
    for row in rows:
        index = known.get(source.find(row[1]))
        if index is None:  # a name that our files guard from spreadsheets
            index = known.get(source.find(restore(row[1])))
        if index is None:
            unknown.append(row[1])
        else:
            matched.append((index, row))
    if not matched:
        example = escape_control(source.key(0)) if len(source) else ""
        reason = (
            f"none of its {_paths(unknown)} is in {source.name}: the first is "
            f"{escape_control(unknown[0])!r}, where {source.name} has names like {example!r}"
            if unknown
            else "it has no row below the header"
        )
        raise ValueError(f"labels: {shown}: {reason}")
    return matched, unknown


def _paths(some: list[str]) -> str:
    return f"{len(some)} {'path' if len(some) == 1 else 'paths'}"


def _cells(matched: list[tuple[int, _Row]], at: int, what: str, shown: str) -> dict[int, str]:
    """The cell of each image at a place of its row, where it is not empty."""
    given: dict[int, tuple[str, int]] = {}
    for index, (line, key, cells) in matched:
        cell = cells[at]
        if not cell:
            continue
        before, first = given.setdefault(index, (cell, line))
        if before != cell:
            raise ValueError(
                f"{what}s: {shown}: {escape_control(key)!r} has the {what} {before!r} in line "
                f"{first} "
                f"and {cell!r} in line {line}"
            )
    return {index: cell for index, (cell, _) in given.items()}


def _columns(header: list[str], shown: str, groups: str | None) -> list[str]:
    """The columns to read beside path: label, the one of the groups, or both."""
    needed = ["path"] if groups is not None and "label" not in header else ["path", "label"]
    if any(header.count(column) != 1 for column in needed):
        wanted = f"path and {groups}" if len(needed) == 1 else "path and label"
        raise ValueError(
            f"labels: {shown}: expected a header with the columns {wanted}, once each, in the "
            f"first line, got {', '.join(header) or 'nothing'}"
        )
    if groups is not None and header.count(groups) != 1:
        had = "twice or more" if groups in header else "not"
        raise ValueError(
            f"groups: {shown} has the column {groups!r} {had}; its columns are {', '.join(header)}"
        )
    return list(dict.fromkeys([*needed[1:], *([] if groups is None else [groups])]))


def _rows(path: Path, shown: str, groups: str | None) -> tuple[list[str], list[_Row]]:
    """The wanted columns, and every row of the file that is not empty."""
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader: Any = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            columns = _columns(header, shown, groups)
            at_path, places = header.index("path"), [header.index(name) for name in columns]
            for row in reader:
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                if len(cells) > len(header):
                    raise ValueError(
                        f"labels: {shown}: line {reader.line_num} has {len(cells)} cells, the "
                        f"header {len(header)}; a cell with a comma needs double quotes"
                    )
                cells += [""] * (len(header) - len(cells))
                if not cells[at_path]:
                    raise ValueError(f"labels: {shown}: line {reader.line_num} has no path")
                wanted = tuple(cells[place] for place in places)
                rows.append((reader.line_num, cells[at_path], wanted))
    except FileNotFoundError:
        raise ValueError(f"labels: no file {shown}") from None
    except IsADirectoryError:
        raise ValueError(
            f"labels: expected a CSV file with the columns path,label, got the folder {shown}; a "
            "folder of class folders is data: it has its labels already"
        ) from None
    except OSError as error:
        raise ValueError(f"labels: {shown} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"labels: {shown} is not UTF-8 text") from None
    except csv.Error as error:
        raise ValueError(f"labels: {shown}: line {reader.line_num}: {error}") from None
    return columns, rows


def number_cells(given: dict[int, str], n: int) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Labels int64 [n] (-1 where missing) and the names of 0, 1, ...; None where all are missing.

    Args:
        given: image -> its cell.
        n: images in all.
    """
    names = set(given.values())
    if all(re.fullmatch(r"[+-]?\d{1,18}", name) for name in names):
        names.discard("-1")
        classes = tuple(sorted(names, key=lambda name: (int(name), name)))
    else:
        classes = tuple(sorted(names))
    if not classes:
        return None, None
    number = {name: label for label, name in enumerate(classes)}
    labels = np.full(n, -1, dtype=np.int64)
    for index, name in given.items():
        labels[index] = number.get(name, -1)
    return labels, classes


def with_class_names(
    class_names: str | Path | Iterable[str] | None, **sources: Source
) -> list[Source]:
    """The sources; those that have labels without names get `class_names`.

    Args:
        class_names: names of the labels 0, 1, ..., "a,b,c", a file of names, or None.
        sources: argument -> source.

    Raises:
        ValueError: for invalid names, too few of them, and where every source has names.
    """
    if class_names is None:  # labels of a data set may need a reading of all images
        return list(sources.values())
    unnamed = {
        argument: source
        for argument, source in sources.items()
        if source.labels is not None and source.classes is None
    }
    if all(source.labels is None for source in sources.values()):
        first = next(iter(sources.values()))
        raise ValueError(f"class_names: the images of {first.name} have no labels")
    names = names_for_unnamed(class_names, {name: name not in unnamed for name in sources})
    assert names is not None
    for argument, source in unnamed.items():
        check_enough_names(_labelled_set(argument, source), names)
    return [
        SourceWithLabels(source, source.labels, names) if argument in unnamed else source
        for argument, source in sources.items()
    ]


def check_same_classes(train: Source, test: Source) -> None:
    """Refuse labels that cannot be matched by class name; see `jessl.core.class_names`.

    A class that one side lacks is allowed.

    Raises:
        ValueError: where one has no labels, one has names and the numbers of the other are not
            among them, or no class of `test` is among those of `train`.
    """
    for name, source in (("train", train), ("test", test)):
        if source.labels is None or not (source.labels >= 0).any():
            raise ValueError(f"{name}: the images of {source.name} have no labels")
    other = _labelled_set("test", test)
    matched = match_labels(_labelled_set("train", train), other)
    if len(matched.absent) == len(other.used()):
        numbers = ", ".join(matched.absent[:3])
        raise ValueError(f"test: none of its classes ({numbers}) is among those to learn from")


def _labelled_set(argument: str, source: Source) -> LabelledSet:
    assert source.labels is not None
    return LabelledSet(argument, source.labels, source.classes)
