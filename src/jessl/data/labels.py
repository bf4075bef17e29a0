"""Labels from a CSV file, laid over a source."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from jessl.data.decode import printable
from jessl.data.sources import Relabelled, Source

_COLUMNS = ("path", "label")


def labels_from_csv(source: Source, path: str | Path) -> Source:
    """The images of `source` with the labels of a CSV file in place of its own.

    The file is UTF-8 with a header that has the columns path and label (others are left alone).
    A path is relative to the folder, or absolute, for a folder of images; the key of the sample
    for shards; the row number (from 0) for arrays. An image whose cell is empty or that has no
    row is unlabelled (-1), and so is -1 where all labels are integers. Classes are the distinct
    labels, sorted as text, or as numbers where all are integers. Paths that the source lacks are
    counted in `notes`.

    Raises:
        ValueError: for a missing file, header or path, rows with surplus cells, two labels of one
            image, or when the source has none of the paths.
    """
    shown = printable(str(path))
    known = {source.key(index): index for index in range(len(source))}
    given: dict[int, tuple[str, int]] = {}
    unknown: list[str] = []
    matched = False
    for line, key, label in _rows(Path(path), shown):
        index = known.get(source.find(key))
        if index is None:
            unknown.append(key)
            continue
        matched = True
        if not label:
            continue
        before, first = given.setdefault(index, (label, line))
        if before != label:
            raise ValueError(
                f"labels: {shown}: {printable(key)!r} has the label {before!r} in line {first} "
                f"and {label!r} in line {line}"
            )
    total = "path" if len(unknown) == 1 else "paths"
    if not matched:
        example = printable(source.key(0)) if len(source) else ""
        reason = (
            f"none of its {len(unknown)} {total} is in {source.name}: the first is "
            f"{printable(unknown[0])!r}, where {source.name} has names like {example!r}"
            if unknown
            else "it has no row below the header"
        )
        raise ValueError(f"labels: {shown}: {reason}")
    notes = []
    if unknown:
        notes.append(
            f"{shown}: {len(unknown)} {total} not in {source.name}, the first is "
            f"{printable(unknown[0])!r}"
        )
    labels, classes = _numbered({index: label for index, (label, _) in given.items()}, len(source))
    if labels is None:
        notes.append(f"{shown}: all labels are empty")
    return Relabelled(source, labels, classes, tuple(notes))


def _rows(path: Path, shown: str) -> list[tuple[int, str, str]]:
    """(line, path, label) of every row."""
    found = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader: Any = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if any(header.count(column) != 1 for column in _COLUMNS):
                raise ValueError(
                    f"labels: {shown}: the first line must be a header with the columns path and "
                    f"label, once each; {', '.join(header) or 'nothing'} came"
                )
            at_path, at_label = (header.index(column) for column in _COLUMNS)
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
                found.append((reader.line_num, cells[at_path], cells[at_label]))
    except FileNotFoundError:
        raise ValueError(f"labels: no file {shown}") from None
    except OSError as error:
        raise ValueError(f"labels: {shown} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"labels: {shown} is not UTF-8 text") from None
    except csv.Error as error:
        raise ValueError(f"labels: {shown}: line {reader.line_num}: {error}") from None
    return found


def _numbered(given: dict[int, str], n: int) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
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
