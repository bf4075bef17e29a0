"""The folder of a curation: CSV files with names, and a summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.csv_files import write_csv_columns
from jessl.core.files import write_json
from jessl.curation.result import Curation

LABEL_FIRST, DUPLICATES, OUTLIERS = "label_first.csv", "duplicates.csv", "outliers.csv"
LABEL_ERRORS, IMAGE_FAULTS, SUMMARY = "label_errors.csv", "image_faults.csv", "summary.json"
PAGE = "curation.html"


def write_files(folder: Path, result: Curation) -> None:
    """Write what there is: a file for each part of the result, and summary.json."""
    names = result.names
    if result.label_first is not None:
        _write_label_first(folder / LABEL_FIRST, result)
    groups, distance = result.duplicates.groups, result.duplicates.distance
    rows = np.concatenate(groups) if groups else np.zeros(0, np.int64)
    sizes = [len(group) for group in groups]
    _write(
        folder / DUPLICATES,
        names,
        rows,
        group=np.repeat(np.arange(1, len(groups) + 1), sizes),
        keep=np.concatenate([np.arange(size) == 0 for size in sizes]) if sizes else rows,
        distance=distance[rows],
    )
    rows = result.outliers.rows
    _write(folder / OUTLIERS, names, rows, score=result.outliers.score[rows])
    errors = result.label_errors
    if errors.checked:
        _write(
            folder / LABEL_ERRORS,
            names,
            errors.rows,
            label=[result.labels.texts[row] for row in errors.rows.tolist()],
            suggested=[result.labels.classes[c] for c in errors.suggested.tolist()],
            label_probability=errors.given_probability,
            suggested_probability=errors.suggested_probability,
        )
    if (faults := result.image_faults) is not None:
        _write(
            folder / IMAGE_FAULTS, names, faults.rows, fault=list(faults.kinds), value=faults.values
        )
    write_json(folder / SUMMARY, result.as_json())


def _write_label_first(file: Path, result: Curation) -> None:
    """The images to label with an empty label, then those that have one already."""
    first = result.label_first
    assert first is not None
    known = result.labels.rows.tolist()
    new = len(first.rows)
    write_csv_columns(
        file,
        {
            "path": (result.names[row] for row in [*first.rows.tolist(), *known]),
            "label": [""] * new + [result.labels.texts[row] for row in known],
            "order": [*range(1, new + 1), *[""] * len(known)],
            "represents": [*first.represents.tolist(), *[""] * len(known)],
        },
    )


def _write(
    file: Path, names: Sequence[str], rows: NDArray[np.int64], **columns: Iterable[object]
) -> None:
    write_csv_columns(file, {"name": (names[row] for row in rows.tolist()), **columns})
