"""Bytes of a table to a frame: CSV with one or two header rows, Parquet, from disk or the web."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from jessl.core.csv_files import (
    check_columns,
    csv_frame,
    csv_rows,
    csv_text,
    read_regular_file,
)
from jessl.core.validation import escape_control
from jessl.zoo.arrow_columns import plain_columns
from jessl.zoo.web import download, is_address

GROUPS = ("risk_decomposition", "metrics", "hyperparameters", "metadata", "statistics")
NAMES = ("enc", "model", "name", "run")  # columns that name a model, the first that exists counts
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_WHAT = "a table of models is a .csv or .parquet file"


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
    return _from_csv(csv_text(content, name), name, digest)


def _content(path: str | Path) -> bytes:
    if is_address(str(path)):
        return download(str(path))
    if not str(path).strip():
        raise ValueError("the name of the table is empty; give a .csv or .parquet file")
    return read_regular_file(path, _WHAT)


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
    check_columns(list(frame.columns), name)
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
    rows = csv_rows(text, name)
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
    frame = csv_frame(columns, rows[heads:], name)
    return Content(name, digest, _indexed(frame, columns[0] if groups else _key(frame)), groups)


def _key(frame: pd.DataFrame) -> str:
    """The column that names the models: enc, model, name or run, else the first."""
    return str(next((c for c in NAMES if c in frame.columns), frame.columns[0]))


def _indexed(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """Indexed by the models' names, missing where they are blank."""
    texts = frame[key].astype(object).where(frame[key].notna(), "").astype(str).str.strip()
    frame = frame.drop(columns=key)
    frame.index = pd.Index(texts.where(texts != "", None), name="model")
    return frame
