"""Optuna's journal file, made whole again after a writer was killed in the middle of a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend

# how every line of a journal begins
_BEGINNING = b'{"op_code":'


def journal(path: str) -> JournalFileBackend:
    """The journal at a path; made where there is none.

    Raises:
        OSError: where it cannot be read or made.
        ValueError: for a file that is something else, which is left as it is.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lock: Any = _WritersLock(path)
    found = JournalFileBackend(path, lock_obj=lock)
    with open(path, "rb") as file:
        beginning = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(beginning):
        raise ValueError(f"it begins with {beginning!r}")
    return found


class _WritersLock:
    """What a writer of a journal holds; it gets the journal with a healthy end.

    The kernel takes the lock from a killed process at once; Optuna's own stays for half a minute.
    A line that a killed process left unfinished is cut off: with the next one it would become a
    line that is no JSON, and nobody could read the journal again. It is of an operation that never
    happened, for the call had not come back.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock")

    def acquire(self) -> bool:
        """Wait until no other process writes."""
        self._lock.acquire()
        try:
            _cut_torn_line(self._path)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Let others write."""
        self._lock.release()


def _cut_torn_line(path: str) -> None:
    """Cut what follows the last end of a line."""
    with open(path, "rb+") as file:
        size = whole = file.seek(0, os.SEEK_END)
        while whole > 0:
            step = min(whole, 4096)
            file.seek(whole - step)
            end = file.read(step).rfind(b"\n")
            whole -= step
            if end >= 0:
                whole += end + 1
                break
        if whole < size:
            file.truncate(whole)
            os.fsync(file.fileno())
