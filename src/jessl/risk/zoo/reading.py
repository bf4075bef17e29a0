"""Bytes of a table to a frame: CSV with one or two header rows, Parquet, from disk or the web."""

from __future__ import annotations

import csv
import hashlib
import io
import urllib.request
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

GROUPS = ("risk_decomposition", "metrics", "hyperparameters", "metadata", "statistics")
NAMES = ("enc", "model", "name", "run")  # columns that name a model, the first found counts
_WAIT_SECONDS = 60


@dataclass(frozen=True)
class Content:
    """What a file holds: a frame indexed by model, and of a published table the columns' groups."""

    name: str
    sha256: str
    frame: pd.DataFrame
    groups: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_content(path: str | Path) -> Content:
    """Read a CSV or Parquet file, told apart by their first bytes.

    Raises:
        ValueError: for an empty file, one that is neither, rows of unlike width, and two columns
            of one name.
        OSError: for a file or address that cannot be read.
    """
    name, content = str(path), _content(path)
    digest = hashlib.sha256(content).hexdigest()
    if not content.strip():
        raise ValueError(f"{name}: the file is empty")
    if content[:4] == b"PAR1":
        return Content(name, digest, _indexed(_parquet(content, name)))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: neither Parquet nor CSV in UTF-8 ({error.reason})") from None
    return _from_csv(text, name, digest)


def _content(path: str | Path) -> bytes:
    if str(path).startswith(("http://", "https://")):
        with urllib.request.urlopen(str(path), timeout=_WAIT_SECONDS) as answer:
            return bytes(answer.read())
    file = Path(path)
    if not file.exists():
        raise ValueError(f"{path}: no such file; a table of models is a .csv or .parquet file")
    if file.is_dir():
        raise ValueError(f"{path}: is a folder; a table of models is a .csv or .parquet file")
    return file.read_bytes()


def _parquet(content: bytes, name: str) -> pd.DataFrame:
    import pyarrow as pa

    try:
        frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{name}: the Parquet file cannot be read: {error}") from None
    if isinstance(frame.columns, pd.MultiIndex):
        raise ValueError(f"{name}: columns must have one name each, these have several levels")
    if not len(frame):
        raise ValueError(f"{name}: the table has no row")
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


def _from_csv(text: str, name: str, digest: str) -> Content:
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise ValueError(f"{name}: the CSV file cannot be read: {error}") from None
    heads, groups = 1, {}
    columns = rows[0]
    if len(rows) > 1 and set(rows[0][1:]) & set(GROUPS):
        heads, columns = 2, rows[1]
        groups = dict(zip(rows[1][1:], rows[0][1:], strict=False))
        if len(rows) > 2 and not any(rows[2][1:]):  # holds the name of the index alone
            heads, columns = 3, [rows[2][0], *columns[1:]]
    body = rows[heads:]
    if not body:
        raise ValueError(f"{name}: the table has no row below its header")
    for place, row in enumerate(body, 1):
        if len(row) != len(columns):
            raise ValueError(
                f"{name}: row {place} of the table has {len(row)} cells, its header "
                f"{len(columns)}; the cells must be parted by commas"
            )
    twice = [c for i, c in enumerate(columns) if c in columns[:i]]
    if twice:
        raise ValueError(f"{name}: two columns are called {twice[0]!r}")
    again = io.StringIO()
    csv.writer(again).writerows([columns, *body])
    again.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # texts and numbers in one column
        frame = pd.read_csv(again, dtype={columns[0]: str}, low_memory=False)
    return Content(name, digest, _indexed(frame, columns[0] if groups else None), groups)


def _indexed(frame: pd.DataFrame, column: str | None = None) -> pd.DataFrame:
    """Indexed by the models' names: the column called enc, model, name or run, else the first."""
    named = [c for c in NAMES if c in frame.columns]
    key = column if column in frame.columns else named[0] if named else frame.columns[0]
    names = frame[key]
    frame = frame.drop(columns=key)
    frame.index = pd.Index(names.where(names.isna(), names.astype(str)), name="model")
    return frame
