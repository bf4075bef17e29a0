"""Records: what a run measured, one JSON object a line, appended and never changed.

A record has these fields; a report is a pure fold over them:

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
    extra     what else belongs to the number (n, d, debiased, warnings, conventions)
    versions  of jessl and torch
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jessl.core.files import atomic_write

FILE = "records.jsonl"
HELD_OUT, SEEN_SAMPLE = "heldout", "pretrain_sample"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measurement; the fields are described at the top of this file."""

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
    """Append records to `folder`/records.jsonl and hand them to the disk.

    Numbers that JSON cannot hold (NaN, infinities) are written as null with the text of the
    number under extra["not_finite"], so that a reader neither fails nor mistakes them.
    """
    lines = "".join(json.dumps(_clean(asdict(r)), allow_nan=False) + "\n" for r in records)
    if not lines:
        return
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # a line torn by a kill is closed first, so that the next record stays readable
        if file.tell() and _last_byte(path) != b"\n":
            file.write(b"\n")
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def read(folder: str | Path) -> list[Record]:
    """All records of a folder in the order of writing; torn and malformed lines are left out."""
    path = Path(folder) / FILE
    if not path.exists():
        return []
    known = set(Record.__dataclass_fields__)
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(fields, dict) and _is_record(fields):
            found.append(Record(**{k: v for k, v in fields.items() if k in known}))
    return found


def _is_record(fields: dict[str, Any]) -> bool:
    """Whether the fields that every reader relies on are there and of their types."""
    number = (int, float, type(None))
    return (
        {"run", "name", "value"} <= fields.keys()
        and isinstance(fields["run"], str)
        and isinstance(fields["name"], str)
        and isinstance(fields["value"], (*number, list))
        and all(isinstance(fields.get(k), number) for k in ("step", "epoch", "sd", "low", "high"))
        and isinstance(fields.get("extra", {}), dict)
    )


def keep(folder: str | Path, wanted: Callable[[Record], bool]) -> None:
    """Rewrite the records of a folder to those `wanted` (whole or not at all)."""
    if not (Path(folder) / FILE).exists():
        return
    kept = [r for r in read(folder) if wanted(r)]
    with atomic_write(Path(folder) / FILE) as part:
        part.write_text(
            "".join(json.dumps(_clean(asdict(r)), allow_nan=False) + "\n" for r in kept),
            encoding="utf-8",
        )


def versions() -> str:
    """Versions of jessl and torch, read from the package metadata (torch is not imported)."""
    found = []
    for name in ("jessl", "torch"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def _clean(fields: dict[str, Any]) -> dict[str, Any]:
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
