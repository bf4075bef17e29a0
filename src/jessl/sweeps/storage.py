"""Where a study is kept: a database or a journal that many processes write, and nothing is lost.

SQLite in the study's folder is for the processes of one machine. A journal is one file that only
grows, on a disk that all machines see. PostgreSQL (or another database that SQLAlchemy knows) is
for machines that share no disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DEFAULT = "study.db"
_JOURNAL = "journal:"
_SQLITE = "sqlite:///"
# two processes that write one SQLite file at a time wait for each other
_BUSY_SECONDS = 60.0
# to make the tables of a database, or to find that others have made them
_TRIES = 5


@dataclass(frozen=True)
class Storage:
    """An open storage.

    Attributes:
        held: Optuna's storage.
        shown: what it is called in messages, without a password.
        guard: a block in it is the only one of all processes; needed where reading a trial's state
            and changing it are two steps of the database (SQLite), the identity elsewhere.
    """

    held: Any
    shown: str
    guard: Callable[[], AbstractContextManager[Any]]


def open_storage(url: str | None, folder: Path) -> Storage:
    """Open, or make, the storage of a study.

    Args:
        url: None for an SQLite file in `folder`; "journal:PATH"; or an address as SQLAlchemy has
            them, such as postgresql://user@host/name or sqlite:///PATH.
        folder: of the study, which is there.

    Raises:
        ValueError: in one line, for an address that is none, a driver that is not installed, and a
            database that cannot be reached.
    """
    url = url or f"{_SQLITE}{folder / DEFAULT}"
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url.startswith(_JOURNAL):
        return _journal(url.removeprefix(_JOURNAL))
    return _database(url)


def _journal(path: str) -> Storage:
    from optuna.storages import JournalStorage

    from jessl.sweeps.journal import journal

    if not path:
        raise ValueError("storage: journal: needs a path, such as journal:/shared/study.log")
    shown = f"{_JOURNAL}{path}"
    try:
        return Storage(JournalStorage(journal(path)), shown, contextlib.nullcontext)
    except OSError as error:
        raise ValueError(f"storage {shown} cannot be opened: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"storage {shown} is no journal of a study: {error}") from None


def _database(url: str) -> Storage:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):  # of a port that is no number
        told = re.sub("//.*@", "//***@", url)
        raise ValueError(
            f"storage {told!r} is no address; give journal:PATH, sqlite:///PATH or "
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
        raise ValueError(f"storage {shown} cannot be reached: its folder is not there")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if sqlite:
        options["connect_args"] = {"timeout": _BUSY_SECONDS}
    guard = _locked(Path(f"{parsed.database}.lock")) if sqlite else contextlib.nullcontext
    try:
        with guard(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the driver, not of ours
            held = _with_tables(parsed.render_as_string(hide_password=False), options)
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
    return Storage(held, shown, guard)


def _postgresql_driver() -> str:
    installed = (name for name in ("psycopg2", "psycopg") if find_spec(name) is not None)
    return next(installed, "psycopg2")


def _with_tables(url: str, options: dict[str, Any]) -> Any:
    """Optuna's storage; of workers that make its tables at the same moment all but one fail."""
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for again in range(_TRIES):
        try:
            return get_storage(RDBStorage(url, engine_kwargs={**options}))
        except (IntegrityError, ProgrammingError):
            time.sleep(0.1 * 2**again)
    return get_storage(RDBStorage(url, engine_kwargs={**options}))


def _locked(path: Path) -> Callable[[], AbstractContextManager[Any]]:
    from filelock import FileLock

    # one object: a block inside of another of the same thread passes, as in a database
    lock = FileLock(os.fspath(path))
    return lambda: lock
