"""The file of predictions: a row an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.csv_files import write_csv_columns


def write_predictions(
    path: Path,
    names: Sequence[str],
    columns: Mapping[str, Sequence[object] | NDArray[np.generic]],
    rows: NDArray[np.int64],
) -> None:
    """Write name and the columns of some rows as CSV, see `write_csv_columns`.

    Args:
        path: the file.
        names: of all images; columns: a value for each image.
        rows: which images, in this order.
    """
    chosen: list[int] = rows.tolist()
    cells = {title: _taken(values, chosen) for title, values in columns.items()}
    write_csv_columns(path, {"name": _taken(names, chosen), **cells})


def _taken(values: Sequence[object] | NDArray[np.generic], rows: list[int]) -> Iterator[object]:
    return (values[row] for row in rows)
