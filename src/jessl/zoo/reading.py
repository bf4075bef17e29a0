"""Bytes of a table to a frame: CSV with one or two header rows, Parquet, from disk or the web."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from jessl.core.validation import escape_control
from jessl.zoo.arrow_columns import plain_columns
from jessl.zoo.web import download, is_address

GROUPS = ("risk_decomposition", "metrics", "hyperparameters", "metadata", "statistics")
NAMES = ("enc", "model", "name", "run")  # columns that name a model, the first that exists counts
_NO_TABLES = (
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook; save it as CSV"),
    (b"<", "a web page (HTML or XML); for a table on GitHub give the address of the raw file"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_END = "end of the table"  # the last row, unless a quote before it is never closed


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        name: of the file, fit to be shown.
        sha256: of its bytes.
        frame: indexed by model.
        groups: of the columns of a published table.
        nested: columns left out, as a cell holds several values -> what it holds.
    """

    name: str
    sha256: str
    frame: pd.DataFrame
    groups: dict[str, str] = field(default_factory=dict)
    nested: dict[str, str] = field(default_factory=dict)


def read_content(path: str | Path) -> Content:
    """Read a CSV or Parquet file, distinguished by their first bytes.

    Blanks around the names of columns and models are left out.

    Raises:
        ValueError: for an empty file, one that is neither, another encoding than UTF-8, cells that
            are not parted by commas, a quote that is never closed, rows of unlike width, and two
            columns of one name.
        OSError: for a file or address that cannot be read.
    """
    name, content = escape_control(str(path)), _content(path)
    digest = hashlib.sha256(content).hexdigest()
    if not content.strip():
        raise ValueError(f"{name}: the file is empty")
    if content[:4] == b"PAR1":
        frame, nested = _parquet(content, name)
        return Content(name, digest, frame, nested=nested)
    return _from_csv(_text(content, name), name, digest)


def _content(path: str | Path) -> bytes:
    if is_address(str(path)):
        return download(str(path))
    file, name = Path(path), escape_control(str(path))
    if not str(path).strip():
        raise ValueError("the name of the table is empty; give a .csv or .parquet file")
    if not file.exists():
        raise ValueError(f"{name}: no such file; a table of models is a .csv or .parquet file")
    if file.is_dir():
        raise ValueError(f"{name}: is a folder; a table of models is a .csv or .parquet file")
    return file.read_bytes()


def _text(content: bytes, name: str) -> str:
    start = content.removeprefix(codecs.BOM_UTF8).lstrip()
    for first, what in _NO_TABLES:
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


def _parquet(content: bytes, name: str) -> tuple[pd.DataFrame, dict[str, str]]:
    import pyarrow as pa

    try:
        frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: the Parquet file cannot be read: {reason}") from None
    if isinstance(frame.columns, pd.MultiIndex):
        raise ValueError(f"{name}: columns must have one name each, these have several levels")
    if not len(frame):
        raise ValueError(f"{name}: the table has no row")
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(allow_duplicates=True)
    frame.columns = pd.Index([str(c).strip() for c in frame.columns], dtype=object)
    _check_columns(list(frame.columns), name)
    plain, nested = plain_columns(frame)
    key = _key(frame)
    if key in nested:
        raise ValueError(
            f"{name}: column {escape_control(key)!r} names the models, its cells must be texts, "
            "not "
            f"{nested[key]}"
        )
    return _indexed(plain, key), nested


def _from_csv(text: str, name: str, digest: str) -> Content:
    rows = _rows(text, name)
    heads, groups = 1, {}
    columns = [c.strip() for c in rows[0]]
    for mark, words in _SEPARATORS.items():
        if len(columns) == 1 and mark in columns[0]:
            raise ValueError(f"{name}: the cells are parted by {words}; they must be by commas")
    if len(rows) > 1 and set(columns[1:]) & set(GROUPS):
        kinds, columns, heads = columns, [c.strip() for c in rows[1]], 2
        groups = dict(zip(columns[1:], kinds[1:], strict=False))
        if len(rows) > 2 and not any(rows[2][1:]):  # holds the name of the index alone
            heads, columns = 3, [rows[2][0].strip(), *columns[1:]]
    body = rows[heads:]
    if not body:
        raise ValueError(f"{name}: the table has no row below its header")
    for place, row in enumerate(body, 1):
        if len(row) != len(columns):
            raise ValueError(
                f"{name}: row {place} of the table has {len(row)} cells, its header "
                f"{len(columns)}; the cells must be parted by commas"
            )
    _check_columns(columns, name)
    again = io.StringIO()
    csv.writer(again).writerows([columns, *body])
    again.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # texts and numbers in one column
        frame = pd.read_csv(again, dtype={columns[0]: str}, low_memory=False)
    return Content(name, digest, _indexed(frame, columns[0] if groups else _key(frame)), groups)


def _rows(text: str, name: str) -> list[list[str]]:
    """The rows that hold anything, the first the header."""
    rows, begins = [], []
    reader = csv.reader(io.StringIO(f'{text}\n"{_END}"\n'))
    try:
        before = 0
        for row in reader:
            if row:
                rows.append(row)
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


def _check_columns(columns: list[str], name: str) -> None:
    twice = [c for i, c in enumerate(columns) if c in columns[:i]]
    if twice:
        raise ValueError(f"{name}: two columns are called {escape_control(twice[0])!r}")


def _key(frame: pd.DataFrame) -> str:
    """The column that names the models: enc, model, name or run, else the first."""
    return str(next((c for c in NAMES if c in frame.columns), frame.columns[0]))


def _indexed(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """Indexed by the models' names, missing where they are blank."""
    texts = frame[key].astype(object).where(frame[key].notna(), "").astype(str).str.strip()
    frame = frame.drop(columns=key)
    frame.index = pd.Index(texts.where(texts != "", None), name="model")
    return frame
