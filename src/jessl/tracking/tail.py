"""The end of a records.jsonl that another part of the program appends to."""

from __future__ import annotations

from pathlib import Path

from jessl.core.files import contained
from jessl.records import FILE, Record, parse_line


class RecordTail:
    """Reads the records of a folder once each, in the order of writing.

    Damaged lines are left out, as `records.read` does; a line without its end is read later.

    Args:
        folder: of the run; it may have no records yet.
    """

    def __init__(self, folder: Path) -> None:
        self._path = contained(folder, FILE)
        self._offset = 0

    def read(self) -> list[Record]:
        """The records since the last call."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        parsed = (parse_line(line) for line in whole.split(b"\n") if line.strip())
        return [record for record in parsed if record is not None]
