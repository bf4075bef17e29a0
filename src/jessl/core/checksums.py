"""SHA-256 of files, kept beside them and compared before they are used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jessl.core.files import read_json, write_json

FILE = "checksums.json"


class ChangedError(ValueError):
    """A file is not the one that was written; the message does not name it."""


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content (64 hexadecimal digits)."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sum(value: Mapping[str, Any], without: str) -> str:
    """SHA-256 of an object as canonical JSON, without the entry of its own checksum."""
    content = {k: v for k, v in value.items() if k != without}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write checksums.json: the SHA-256 of these files of a folder."""
    write_json(folder / FILE, {name: sha256_of(folder / name) for name in names})


def check_file(path: Path) -> None:
    """Compare a file with the checksums.json beside it; files without one pass.

    Raises:
        ChangedError: where its content has changed since it was written.
        ValueError: where checksums.json is damaged.
    """
    if not (path.parent / FILE).is_file():
        return
    sums = read_json(path.parent / FILE)
    expected = sums.get(path.name) if isinstance(sums, dict) else None
    if not isinstance(sums, dict) or not isinstance(expected, str | None):
        raise ValueError(f"{path.parent / FILE}: expected an object of checksums")
    if expected is not None and sha256_of(path) != expected:
        raise ChangedError("changed since it was written (SHA-256 differs)")
