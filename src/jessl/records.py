"""Records: what a run measured, one JSON object per line, only ever appended.

A report is a pure fold over records. A record has these fields:

    run       name of the run, or of the study
    step      optimizer steps taken before the measurement (int), None outside a training
    epoch     the same in epochs (float), None outside a training
    split     what it was measured on: train, heldout (a sample kept out of training) or
              pretrain_sample (one that is trained on), pretrain (the training images), test
    name      what was measured: loss, rankme/projector, accuracy/logistic, risk/usability, ...
    value     a number, or a list of numbers (a spectrum)
    sd        standard deviation of the value, None where unknown
    low, high 95 % interval, None where unknown
    seconds   seconds of training behind the record (wall time, all processes that it took)
    extra     everything else about the number (n, d, debiased, warnings, conventions)
    versions  of jessl and torch

Each line ends with "crc32", the checksum of the record as it is written without it. Lines of
earlier releases have none.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jessl.core.files import atomic_write, contained, parse_json
from jessl.core.log import log

FILE = "records.jsonl"
_CHECKSUM = "crc32"
_NUMBERS = ("step", "epoch", "sd", "low", "high", "seconds")
_NUMBER = (int, float, type(None))
# the two splits of an online evaluation
HELD_OUT, PRETRAIN_SAMPLE = "heldout", "pretrain_sample"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measurement; the top of this file describes the fields."""

    run: str
    name: str
    value: float | list[float] | None
    step: int | None = None
    epoch: float | None = None
    split: str = "train"
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    versions: str = ""


def append(folder: str | Path, records: Iterable[Record]) -> None:
    """Append records to `folder`/records.jsonl and flush them to the disk.

    Numbers that JSON cannot hold (NaN, infinities) are written as null with the text of the
    number under extra["not_finite"], so that a reader neither fails nor misreads them.
    """
    lines = _lines(records)
    if not lines:
        return
    path = contained(folder, FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # end a line that a killed process left incomplete, so that the next record stays readable
        if file.tell() and _last_byte(path) != b"\n":
            file.write(b"\n")
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def read(folder: str | Path) -> list[Record]:
    """All records of a folder in the order of writing, without incomplete and damaged lines.

    The number of lines that are left out is reported once for each file.

    Example:
        >>> read("no/such/folder")
        []
    """
    records, damaged = read_lines(folder)
    if damaged:
        _report_damaged(contained(folder, FILE), damaged, len(records) + len(damaged))
    return records


def read_lines(folder: str | Path) -> tuple[list[Record], list[int]]:
    """(the records of a folder, numbers from 1 of the lines that are none or were changed)."""
    path = contained(folder, FILE)
    if not path.is_file():  # nothing yet, or a pipe, which would be waited for without end
        return [], []
    records: list[Record] = []
    damaged: list[int] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        record = parse_line(line)
        if record is None:
            damaged.append(number)
        else:
            records.append(record)
    return records, damaged


def parse_line(line: bytes) -> Record | None:
    """The record of a line; None for one that is incomplete or was changed."""
    try:
        fields = parse_json(line.decode())
    except (ValueError, RecursionError):  # torn, nested too deep, a number without end
        return None
    if not (isinstance(fields, dict) and _is_record(fields) and _is_unchanged(line, fields)):
        return None
    known = Record.__dataclass_fields__
    return Record(**{k: v for k, v in fields.items() if k in known})


# files whose damaged lines were reported, with their number
_reported: set[tuple[Path, int]] = set()


def _report_damaged(path: Path, damaged: list[int], lines: int) -> None:
    if (path.resolve(), len(damaged)) not in _reported:
        _reported.add((path.resolve(), len(damaged)))
        log.note(
            f"{path}: {len(damaged)} of {lines} lines are incomplete or changed since they were "
            f"written, and are left out; the first is line {damaged[0]}"
        )


def _is_unchanged(line: bytes, fields: Mapping[str, object]) -> bool:
    """Whether a line has the checksum that it ends with; lines without one pass."""
    if _CHECKSUM not in fields:
        return True
    content, _, _ = line.rpartition(f', "{_CHECKSUM}": '.encode())
    return zlib.crc32(content + b"}") == fields[_CHECKSUM]


def _is_record(fields: Mapping[str, object]) -> bool:
    """Whether the fields that every reader relies on exist and have their types."""
    # loops, not generators: a study has tens of thousands of records
    for key in ("run", "name"):
        if not isinstance(fields.get(key), str):
            return False
    for number in _as_list(fields.get("value", "missing")):
        if not isinstance(number, _NUMBER):
            return False
    for key in ("split", "versions"):
        if not isinstance(fields.get(key, ""), str):
            return False
    for key in _NUMBERS:
        if not isinstance(fields.get(key), _NUMBER):
            return False
    return _is_extra(fields.get("extra", {}))


def _is_extra(extra: object) -> bool:
    """Whether what selection and reports read of `extra` has its type, where it is there."""
    if not isinstance(extra, dict):
        return False
    if not extra:
        return True
    warnings = extra.get("warnings", [])
    return (
        all(isinstance(extra.get(k), int | float | None) for k in ("n", "d", "debiased"))
        and isinstance(warnings, list)
        and all(isinstance(w, str) for w in warnings)
        and isinstance(extra.get("params"), dict | None)
    )


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def keep_records(folder: str | Path, condition: Callable[[Record], bool]) -> None:
    """Remove the records of a folder that do not meet `condition`; the file changes atomically."""
    if not (Path(folder) / FILE).exists():
        return
    lines = _lines(record for record in read(folder) if condition(record))
    with atomic_write(Path(folder) / FILE) as part:
        part.write_text(lines, encoding="utf-8")


def versions() -> str:
    """Versions of jessl and torch from the package metadata, without importing torch."""
    texts = []
    for name in ("jessl", "torch"):
        try:
            texts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            texts.append(f"{name} not installed")
    return ", ".join(texts)


def _lines(records: Iterable[Record]) -> str:
    return "".join(_line(json.dumps(_clean(vars(r)), allow_nan=False)) for r in records)


def _line(record: str) -> str:
    return f'{record[:-1]}, "{_CHECKSUM}": {zlib.crc32(record.encode())}}}\n'


def _clean(fields: dict[str, Any]) -> dict[str, object]:
    """Numbers that JSON cannot hold become null and move, as text, to extra["not_finite"]."""
    odd = {k: repr(v) for k, v in fields.items() if isinstance(v, float) and not math.isfinite(v)}
    if not odd:
        return fields
    return {
        **fields,
        **dict.fromkeys(odd),
        "extra": {**fields.get("extra", {}), "not_finite": odd},
    }


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
