"""The storage of a study: a database or a journal that many processes write, and nothing is lost.

SQLite in the study's folder is for the processes of one machine. A journal is one file that only
grows, on a disk that all machines see. PostgreSQL (or another database that SQLAlchemy knows) is
for machines that share no disk. Optuna's storages are used as they are, with three repairs:

- the journal's lock goes with its process (Optuna's own outlives a killed one by half a minute),
  and a torn last line is cut off, which would make the journal unreadable (test_journal.py);
- what reads a trial's state in SQLite and changes it holds a lock file: the driver does both
  without a transaction, and two workers had one trial (test_trial_claim_races.py);
- of workers that make the tables of a database at the same moment all but one fail, and try again.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from jessl.core.files import contained, file_lock
from jessl.core.leftovers import new_folder, remove_leftovers, remove_tree

DEFAULT = "study.db"
# its file, its lock, and what SQLite writes beside it
BEGUN = frozenset({DEFAULT, *(f"{DEFAULT}{end}" for end in (".lock", "-journal", "-wal", "-shm"))})
_JOURNAL = "journal:"
_SQLITE = "sqlite:///"
# of Optuna's, which makes them one after the other
_TABLES = frozenset(
    {
        *("studies", "study_directions", "study_system_attributes", "study_user_attributes"),
        *("trials", "trial_heartbeats", "trial_intermediate_values", "trial_params"),
        *("trial_system_attributes", "trial_user_attributes", "trial_values"),
        *("version_info", "alembic_version"),
    }
)
# how every line of a journal begins
_BEGINNING = b'{"op_code":'
# two processes that write one SQLite file at a time wait for each other
_BUSY_SECONDS = 60.0
# to make the tables of a database, or to see that others have made them
_TRIES = 5


@dataclass(frozen=True)
class Storage:
    """An open storage.

    Attributes:
        backend: Optuna's storage.
        shown: its name in messages, without a password.
        guard: a block in it is the only one of all processes; needed where reading a trial's state
            and changing it are two steps of the database (SQLite), the identity elsewhere.
    """

    backend: BaseStorage
    shown: str
    guard: Callable[[], AbstractContextManager[object]]


def open_storage(url: str | None, folder: Path) -> Storage:
    """Open, or make, the storage of a study.

    Args:
        url: None for an SQLite file in `folder`; "journal:PATH"; or an address as SQLAlchemy has
            them, such as postgresql://user@host/name or sqlite:///PATH.
        folder: of the study, which exists.

    Raises:
        ValueError: in one line, for a malformed address, a driver that is not installed, and a
            database that cannot be reached.
    """
    url = url or f"{_SQLITE}{contained(folder, DEFAULT)}"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url.startswith(_JOURNAL):
        return _open_journal_storage(url.removeprefix(_JOURNAL))
    return _open_database(url)


def is_inside(url: str, folder: Path) -> bool:
    """Whether a storage is a file in a folder, without links that lead out of it."""
    prefix = next((p for p in (_JOURNAL, _SQLITE) if url.startswith(p)), None)
    if prefix is None:
        return False
    path = url.removeprefix(prefix).partition("?")[0]
    return bool(path) and Path(path).resolve().is_relative_to(folder.resolve())


@contextlib.contextmanager
def readable(shown: str) -> Iterator[None]:
    """What damaged entries of a storage make Optuna raise becomes one ValueError.

    Raises:
        ValueError: naming the storage.
    """
    try:
        yield
    except StorageInternalError as error:
        reason = " ".join(str(error.__cause__ or error).splitlines()[:1])
        raise ValueError(f"storage {shown} cannot be used: {reason}") from error
    # attributes are JSON texts in the database
    except (LookupError, TypeError, AttributeError, JSONDecodeError, UnicodeError) as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"storage {shown} holds a damaged study: {text}") from error


def is_begun(folder: Path) -> bool:
    """Whether the database in a folder is one that `open_storage` began, by its lock and tables.

    A database of another program would get the tables of a study.
    """
    path = folder / DEFAULT
    if any((folder / name).is_symlink() for name in BEGUN):
        return False
    if not (folder / f"{DEFAULT}.lock").is_file():  # it is made before the database
        return False
    if not path.exists() or (folder / f"{DEFAULT}-journal").exists():
        return True
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {name for (name,) in rows} <= _TABLES
    except sqlite3.Error:
        return False


def _open_journal_storage(path: str) -> Storage:
    if not path:
        raise ValueError("storage: journal: needs a path, such as journal:/shared/study.log")
    shown = f"{_JOURNAL}{path}"
    try:
        return Storage(JournalStorage(open_journal(path)), shown, contextlib.nullcontext)
    except OSError as error:
        raise ValueError(f"storage {shown} cannot be opened: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"storage {shown} is no journal of a study: {error}") from None


def open_journal(path: str) -> JournalFileBackend:
    """The journal at a path; made where there is none.

    Raises:
        OSError: where it cannot be read or made.
        ValueError: for a file that is something else, which is left as it is.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lock: Any = _WritersLock(path)  # the class that Optuna expects is not public
    journal = JournalFileBackend(path, lock_obj=lock)
    with open(path, "rb") as file:
        beginning = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(beginning):
        raise ValueError(f"it begins with {beginning!r}")
    return journal


class _WritersLock:
    """The lock of a journal's writer, who gets the journal with a healthy end.

    The kernel takes the lock from a killed process at once. A line that a killed process left
    unfinished is cut off: with the next one it would become a line that is no JSON. It is of an
    operation that never happened, for the call had not returned.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = file_lock(f"{path}.lock")

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


def _open_database(url: str) -> Storage:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):  # of a port that is no number
        shown = re.sub("//.*@", "//***@", url)
        raise ValueError(
            f"storage {shown!r} is no address; give journal:PATH, sqlite:///PATH or "
            "postgresql://user@host/name"
        ) from None
    if parsed.drivername == "postgresql":
        # the driver of our extra: which one is the default differs between releases of SQLAlchemy
        parsed = parsed.set(drivername=f"postgresql+{_postgresql_driver()}")
    # what follows a ? can hold a password as well
    shown = parsed.set(query={}).render_as_string(hide_password=True)
    sqlite = parsed.get_backend_name() == "sqlite"
    memory = ":memory:" in (parsed.database or "") or parsed.query.get("mode") == "memory"
    if sqlite and (memory or not parsed.database):
        raise ValueError(f"storage {shown} is in this process's memory: give sqlite:///PATH")
    if sqlite and not Path(str(parsed.database)).absolute().parent.is_dir():
        # the lock beside it would make the folder of a mistyped path
        raise ValueError(f"storage {shown} cannot be reached: its folder does not exist")
    options: dict[str, object] = {"pool_pre_ping": True}
    if sqlite:
        options["connect_args"] = {"timeout": _BUSY_SECONDS}
    guard = _locked(Path(f"{parsed.database}.lock")) if sqlite else contextlib.nullcontext
    try:
        with guard(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the driver, not of ours
            if sqlite:
                _make_database(Path(str(parsed.database)))
            backend = _with_tables(parsed.render_as_string(hide_password=False), options)
    except ImportError as error:
        driver = getattr(error.__cause__, "name", None) or parsed.drivername
        raise ValueError(
            f"storage {shown} needs a driver that is not installed ({driver}); for PostgreSQL: pip "
            "install 'jessl[postgresql]'"
        ) from None
    except (SQLAlchemyError, OSError, RuntimeError) as error:
        text = str(getattr(error, "orig", None) or error).strip()
        reason = " ".join(text.splitlines()[:1]) or type(error).__name__
        raise ValueError(f"storage {shown} cannot be reached: {reason}") from None
    return Storage(backend, shown, guard)


def _make_database(path: Path) -> None:
    """Put an SQLite file with all tables in its place at once, where there is none.

    Optuna makes tables and indices one after the other. Without the last ones, of a killed process
    or a full disk, each worker begins a study of its own.
    """
    if path.exists():
        return
    remove_leftovers(path.parent, target=path)
    with new_folder(path) as folder:
        part = folder / DEFAULT
        backend = RDBStorage(f"{_SQLITE}{part}")
        backend.engine.dispose()
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        remove_tree(folder)


def _postgresql_driver() -> str:
    installed = (name for name in ("psycopg2", "psycopg") if find_spec(name) is not None)
    return next(installed, "psycopg2")


def _with_tables(url: str, options: dict[str, object]) -> RDBStorage:
    """Optuna's storage; of workers that make its tables at the same moment all but one fail."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for again in range(_TRIES):
        try:
            return RDBStorage(url, engine_kwargs={**options})
        except (IntegrityError, ProgrammingError):
            time.sleep(0.1 * 2**again)
    return RDBStorage(url, engine_kwargs={**options})


def _locked(path: Path) -> Callable[[], AbstractContextManager[object]]:
    # one object: a block inside of another of the same thread passes, as in a database
    lock = file_lock(path)
    return lambda: lock
