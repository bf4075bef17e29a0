"""Tables of features, CSV and Parquet: written in blocks of rows, read without their copies."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.csv_files import neutralize, restore
from jessl.core.files import atomic_write
from jessl.core.log import Log, log
from jessl.core.texts import Texts
from jessl.core.validation import escape_control
from jessl.embeddings._columns import ChosenColumns, Columns, choose_columns

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".parquet")
# entries of features that are converted at a time
_ENTRIES = 2**22
_HEAD_ROWS = 200
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0+)?")
_BLOCK_BYTES = 16 << 20
_WIDEST_ROW_BYTES = 1 << 30


def check_table(argument: str, path: str | Path) -> Path:
    """A path whose suffix says which table it is.

    Raises:
        ValueError: for another suffix.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{argument}: expected a .csv or .parquet file, got {path}")
    return Path(path)


def label_texts(labels: NDArray[np.int64], classes: Sequence[str] | None) -> list[str | int | None]:
    """Class names, or numbers without names; None where a label is missing."""
    names = dict(enumerate(classes or ()))
    return [None if k < 0 else names.get(k, str(k) if classes else k) for k in labels.tolist()]


def write_table(
    path: Path,
    features: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    classes: Sequence[str] | None,
    names: Texts | None,
) -> None:
    """Write name, label and a column f0, f1, ... for each feature, atomically, block by block.

    Columns without content are left out. Cells of texts that a spreadsheet would run are
    neutralised in a CSV file.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    n, d = features.shape
    is_csv = path.suffix.lower() == ".csv"
    number = pa.string() if classes else pa.int64()
    fields = [
        *([pa.field("name", pa.string())] if names is not None else []),
        *([pa.field("label", number)] if labels is not None else []),
        *(pa.field(f"f{k}", pa.float32()) for k in range(d)),
    ]
    schema = pa.schema(fields)
    step = max(1, _ENTRIES // d)
    with atomic_write(path) as part:
        writer: Any = (
            pa.csv.CSVWriter(part, schema) if is_csv else pa.parquet.ParquetWriter(part, schema)
        )
        with writer:
            for start in range(0, n, step):
                rows = slice(start, min(start + step, n))
                columns: list[Any] = []
                if names is not None:
                    texts = [_printable(name) for name in names[rows]]
                    columns.append([neutralize(text) for text in texts] if is_csv else texts)
                if labels is not None:
                    cells = label_texts(labels[rows], classes)
                    columns.append([neutralize(cell) for cell in cells] if is_csv else cells)
                by_feature = np.ascontiguousarray(features[rows].T)
                arrays = [
                    pa.array(column, kind.type)
                    for column, kind in zip([*columns, *by_feature], schema, strict=True)
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))


def _printable(name: str) -> str:
    """A name that UTF-8 can hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_table(path: Path, requested: Columns, log: Log = log) -> dict[str, Any]:
    """Features, and labels, names and classes where there are columns of them.

    Args:
        requested: which columns; how the others were detected is noted in `log`.

    Raises:
        ValueError: for a file that is no such table, and columns that are not clear.
    """
    import pyarrow as pa

    read = _read_csv if path.suffix.lower() == ".csv" else _read_parquet
    with _errors():
        choice, batches = read(path, requested)
        if requested.features is None or not (requested.label and requested.name):
            log.note(f"{path}: {choice.note}")
        blocks: list[NDArray[np.float32]] = []
        labels: list[str | None] = []
        names: list[Texts] = []
        for batch in batches:
            blocks.append(_features(batch, choice))
            if choice.label is not None:
                labels += batch.column(choice.label).cast(pa.string()).to_pylist()
            if choice.name is not None:
                texts = batch.column(choice.name).cast(pa.string()).to_pylist()
                names.append(Texts.of(restore(text or "") for text in texts))
        if not blocks or not sum(map(len, blocks)):
            raise ValueError("the table has no row below its header")
        numbers, classes = (None, None) if choice.label is None else _numbered(choice.label, labels)
    result = {"features": np.concatenate(blocks), "labels": numbers, "classes": classes}
    return {**result, "names": Texts.joined(names) if choice.name is not None else None}


def _features(batch: pa.RecordBatch, choice: ChosenColumns) -> NDArray[np.float32]:
    """float32 [rows, d]; an empty cell is refused."""
    import pyarrow as pa

    columns = [batch.column(name) for name in choice.features]
    for name, column in zip(choice.features, columns, strict=True):
        if column.null_count:
            raise ValueError(f"column {escape_control(name)!r} has empty cells")
    first = columns[0]
    if pa.types.is_fixed_size_list(first.type):
        first = first.cast(pa.list_(first.type.value_type))
    if pa.types.is_list(first.type) or pa.types.is_large_list(first.type):
        lengths = np.unique(np.diff(first.offsets.to_numpy()))
        if len(lengths) > 1 or first.values.null_count:
            raise ValueError(
                f"column {escape_control(choice.features[0])!r}: expected lists of one length "
                "without empty cells"
            )
        values = first.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        return values.reshape(len(first), -1)
    block = np.empty((batch.num_rows, len(columns)), np.float32)
    for k, column in enumerate(columns):
        block[:, k] = column.to_numpy(zero_copy_only=False)
    return block


def _read_parquet(path: Path, requested: Columns) -> tuple[ChosenColumns, Iterator[pa.RecordBatch]]:
    import pyarrow as pa
    import pyarrow.parquet

    file = pa.parquet.ParquetFile(path)

    def kind(of: pa.DataType) -> str:
        listed = pa.types.is_list(of) or pa.types.is_large_list(of)
        if (listed or pa.types.is_fixed_size_list(of)) and kind(of.value_type) == "number":
            return "list"
        numeric = pa.types.is_integer(of) or pa.types.is_floating(of)
        return "number" if numeric else "other"

    kinds = {field.name: kind(field.type) for field in file.schema_arrow}
    choice = choose_columns(kinds, requested)
    columns = [*choice.features, *(c for c in (choice.label, choice.name) if c)]
    rows = max(1, min(2**16, _ENTRIES // len(choice.features)))
    return choice, file.iter_batches(batch_size=rows, columns=columns)


def _read_csv(path: Path, requested: Columns) -> tuple[ChosenColumns, Iterator[pa.RecordBatch]]:
    import pyarrow as pa
    import pyarrow.csv

    header, head = _head(path)
    kinds = {
        column: "number" if cells and all(map(_is_number, cells)) else "other"
        for k, column in enumerate(header)
        for cells in [[row[k] for row in head if row[k].strip()]]
    }
    choice = choose_columns(kinds, requested)
    texts = [c for c in (choice.label, choice.name) if c]
    convert = pa.csv.ConvertOptions(
        column_types={c: pa.float32() for c in choice.features} | {c: pa.string() for c in texts},
        include_columns=[*choice.features, *texts],
        null_values=[""],
        strings_can_be_null=True,
    )
    widest = max(sum(map(len, row)) + len(row) for row in head)
    block = min(_WIDEST_ROW_BYTES, max(_BLOCK_BYTES, 16 * widest))
    options = pa.csv.ReadOptions(
        block_size=block, column_names=header, skip_rows=1 + _lines_before(path)
    )
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    reader = pa.csv.open_csv(path, options, parse, convert)
    return choice, iter(reader)


def _head(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the first rows of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [cell.strip() for cell in next((row for row in reader if row), [])]
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise ValueError(
                    f"line {reader.line_num} has {len(row)} cells, the header {len(header)}"
                )
            if row:
                rows.append(row)
            if len(rows) == _HEAD_ROWS:
                break
    if not header:
        raise ValueError("the file is empty")
    repeated = next((column for column in header if header.count(column) > 1), None)
    if repeated is not None:
        raise ValueError(f"two columns are called {escape_control(repeated)!r}")
    if not rows:
        raise ValueError("the table has no row below its header")
    return header, rows


def _lines_before(path: Path) -> int:
    """Empty lines before the header."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next((k for k, line in enumerate(file) if line.strip()), 0)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbered(
    column: str, cells: list[str | None]
) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Labels, -1 where missing; and the names of 0, 1, ... where they are texts."""
    texts = np.array([restore((cell or "").strip()) for cell in cells], dtype=object)
    known = {text for text in texts if text}
    if all(_WHOLE.fullmatch(text) for text in known):
        return np.array([int(text.split(".")[0]) if text else -1 for text in texts]), None
    if all(_is_number(text) for text in known):
        odd = next(text for text in texts if text and not _WHOLE.fullmatch(text))
        raise ValueError(
            f"column {escape_control(column)!r}: expected class names or whole numbers, got {odd}"
        )
    classes = tuple(sorted(known))
    number = {name: k for k, name in enumerate(classes)} | {"": -1}
    return np.array([number[text] for text in texts], np.int64), classes


@contextmanager
def _errors() -> Iterator[None]:
    """What pyarrow raises for damaged files becomes a ValueError of one line."""
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"expected CSV in UTF-8: {error.reason}") from None
    except (pa.ArrowException, csv.Error) as error:
        raise ValueError(" ".join(str(error).split())) from None
