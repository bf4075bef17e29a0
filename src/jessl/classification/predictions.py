"""The file of predictions: a row an image."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.csv_files import neutralize
from jessl.core.files import atomic_write

_ROWS = 2**14


def write_predictions(
    path: Path,
    names: Sequence[str],
    columns: Mapping[str, Sequence[object] | NDArray[np.generic]],
    rows: NDArray[np.int64],
) -> None:
    """Write name and the columns of some rows as CSV, atomically.

    Numbers have six significant digits, truth values are true and false, and cells that a
    spreadsheet would run begin with an apostrophe.

    Args:
        path: the file.
        names: of all images; columns: a value for each image.
        rows: which images, in this order.
    """
    with (
        atomic_write(path) as part,
        part.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", *(neutralize(column) for column in columns)])
        for start in range(0, len(rows), _ROWS):
            writer.writerows(_cells(names, columns, rows[start : start + _ROWS].tolist()))


def _cells(
    names: Sequence[str],
    columns: Mapping[str, Sequence[object] | NDArray[np.generic]],
    rows: list[int],
) -> Iterator[list[object]]:
    for row in rows:
        name = names[row].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        yield [neutralize(name), *(_cell(values[row]) for values in columns.values())]


def _cell(value: Any) -> object:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return neutralize(value)
