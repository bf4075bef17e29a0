"""CSV files: one reader that explains what is wrong, one writer that spreadsheets cannot run."""

from __future__ import annotations

import codecs
import csv
import io
import re
import stat
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jessl.core.files import atomic_write
from jessl.core.validation import escape_control

if TYPE_CHECKING:
    import pandas as pd

_OTHER_FORMATS = (
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook; save it as CSV"),
    (b"<", "a web page (HTML or XML); for a table on GitHub give the address of the raw file"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_END = "end of the table"  # the last row, unless a quote before it is never closed
# a spreadsheet runs a cell that begins so; a number may
_FORMULA = re.compile(r"^[=+@\-\t\r](?!\d*\.?\d+(e[+-]?\d+)?$)", re.IGNORECASE)
_NEUTRAL = re.compile(r"^'(?=[=+@\-\t\r])")


def read_regular_file(path: str | Path, what: str) -> bytes:
    """The bytes of a table.

    Args:
        what: it should be, in the error: "a table of models is a .csv or .parquet file".

    Raises:
        ValueError: for a path that does not exist or is no regular file (a pipe would be waited
            for without end).
        OSError: for a file that cannot be read.
    """
    file, name = Path(path), escape_control(str(path))
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{name}: no such file; {what}") from None
    except ValueError as error:  # a zero byte in the name
        raise ValueError(f"{name}: {error}") from None
    if not stat.S_ISREG(mode):
        kind = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
        raise ValueError(f"{name}: {kind}; {what}")
    return file.read_bytes()


def csv_text(content: bytes, name: str) -> str:
    """The text of a CSV file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: for another encoding, and other formats by their first bytes.
    """
    start = content.removeprefix(codecs.BOM_UTF8).lstrip()
    for first, what in _OTHER_FORMATS:
        if start.startswith(first):
            raise ValueError(f"{name}: neither Parquet nor CSV, but {what}")
    # every other byte of English in UTF-16 is zero, with or without a mark at its beginning
    head = content[:1000]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 3 * head.count(0) > len(head):
        raise ValueError(f"{name}: neither Parquet nor CSV in UTF-8, but in UTF-16; save as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}: neither Parquet nor CSV in UTF-8 (byte 0x{content[error.start]:02x} in line "
            f"{line}); save it in this encoding"
        ) from None


def csv_rows(text: str, name: str) -> list[list[str]]:
    """The rows that hold anything, the first the header; neutralised cells as they were.

    Raises:
        ValueError: for an empty file, a quote that is never closed, and a zero byte.
    """
    rows, begins = [], []
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{name}: the CSV file cannot be read: line {line} holds a zero byte")
    reader = csv.reader(io.StringIO(f'{text}\n"{_END}"\n'))
    try:
        before = 0
        for row in reader:
            if row:
                rows.append([restore(cell) for cell in row])
                begins.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise ValueError(
            f"{name}: the CSV file cannot be read: {error}; is a quote never closed?"
        ) from None
    if rows[-1] != [_END]:
        raise ValueError(
            f"{name}: a quote is never closed; it opens in the row that begins in line {begins[-1]}"
        )
    if len(rows) == 1:
        raise ValueError(f"{name}: the file is empty")
    return rows[:-1]


def check_columns(columns: Iterable[str], name: str) -> None:
    """Refuse two columns of one name."""
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise ValueError(f"{name}: two columns are called {escape_control(column)!r}")
        seen.add(column)


def csv_frame(columns: list[str], rows: list[list[str]], name: str) -> pd.DataFrame:
    """Rows of texts as a frame: each column of numbers, truth values, or texts.

    Raises:
        ValueError: for no row, rows of unlike width, and two columns of one name.
    """
    import pandas as pd

    if not rows:
        raise ValueError(f"{name}: the table has no row below its header")
    for place, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise ValueError(
                f"{name}: row {place} of the table has {len(row)} cells, its header "
                f"{len(columns)}; the cells must be parted by commas"
            )
    check_columns(columns, name)
    again = io.StringIO()
    csv.writer(again).writerows([columns, *rows])
    again.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # texts and numbers in one column
        return pd.read_csv(again, dtype={columns[0]: str}, low_memory=False)


def neutralize(cell: object) -> object:
    """A text cell that a spreadsheet would run, with an apostrophe before it; others as they are.

    Example:
        >>> neutralize("=cmd()"), neutralize("-0.5"), neutralize(-1)
        ("'=cmd()", '-0.5', -1)
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """A cell as it was before `neutralize`."""
    return _NEUTRAL.sub("", cell)


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame without its index, atomically, with cells that no spreadsheet runs."""
    safe = frame.copy()
    for k in range(len(safe.columns)):
        values = safe.iloc[:, k]
        if values.dtype.kind not in "biufcmM":
            safe.isetitem(k, values.map(neutralize))
    safe.columns = [neutralize(column) for column in safe.columns]
    with atomic_write(path) as part:
        safe.to_csv(part, index=False)


def write_csv_columns(path: str | Path, columns: Mapping[str, Iterable[object]]) -> None:
    """Write columns of equal length row by row, atomically, with cells that no spreadsheet runs.

    Numbers have six significant digits, truth values are true and false, None is empty, and names
    of files that are no UTF-8 have backslashes for the other bytes.

    Example:
        write_csv_columns("outliers.csv", {"name": ["a.png", "b.png"], "score": [5.2, 4.1]})
    """
    with (
        atomic_write(path) as part,
        part.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([neutralize(column) for column in columns])
        for row in zip(*columns.values(), strict=True):
            writer.writerow([_cell(value) for value in row])


def _cell(value: object) -> object:
    import numpy as np  # not above: a report is written without it

    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return neutralize(text)
    return value
