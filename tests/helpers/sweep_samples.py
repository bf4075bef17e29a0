"""Storages of every kind for the tests of studies, and a ledger without a training."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jessl import Pretrain
from jessl.core.processes import process_name
from jessl.sweeps import space as spaces
from jessl.sweeps.coordination import Ledger, Unit
from jessl.sweeps.leases import Watch
from jessl.sweeps.storage import Storage, open_storage

# a worker of which this machine cannot tell whether it lives
ELSEWHERE = "another-machine/boot/pid:[1]/17/123"


def _programs() -> Path | None:
    """Where initdb and postgres lie together; None where they are not installed."""
    found = [Path(p).parent for p in (shutil.which("initdb"),) if p]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    both = (f for f in found if (f / "initdb").exists() and (f / "postgres").exists())
    return next(both, None)


@contextlib.contextmanager
def postgres_cluster() -> Iterator[str]:
    """A PostgreSQL of our own on a socket in a folder: the address of its first database."""
    psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is missing: jessl[postgresql]")
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: no initdb and postgres found")
    with tempfile.TemporaryDirectory(prefix="jessl-pg-") as name:
        folder = Path(name)
        who: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "HOME": name, "LC_ALL": "C"}}
        if os.geteuid() == 0:  # it refuses to run as root
            users = {user.pw_name: user for user in pwd.getpwall()}
            user = users.get("postgres") or users["nobody"]
            os.chown(folder, user.pw_uid, user.pw_gid)
            who |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = str(folder / "data")
        made = subprocess.run(
            [programs / "initdb", "-D", data, "-A", "trust", "-U", "jessl", "-N"],
            capture_output=True,
            text=True,
            **who,
        )
        assert made.returncode == 0, made.stderr
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", name]
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, **who
            )
        try:
            end = time.monotonic() + 60
            while True:
                try:
                    psycopg2.connect(host=name, user="jessl", dbname="postgres").close()
                    break
                except psycopg2.OperationalError:
                    told = (folder / "log").read_text(errors="replace")
                    assert server.poll() is None, told
                    assert time.monotonic() < end, told
                    time.sleep(0.05)
            yield f"postgresql+psycopg2://jessl@/postgres?host={name}"
        finally:
            server.send_signal(signal.SIGINT)  # to whoever is still connected as well
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def new_database(cluster: str) -> str:
    """The address of a new empty schema in a cluster: a database would be a thousand files."""
    import sqlalchemy

    name = f"study_{uuid.uuid4().hex}"
    engine = sqlalchemy.create_engine(cluster, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    return f"{cluster}&options=-csearch_path%3D{name}"


def closed(storage: Storage) -> None:
    """Let go of the connections of a database."""
    engine = getattr(storage.backend, "engine", None)
    if engine is not None:
        storage.backend.remove_session()
        engine.dispose()


def address(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The address of a new storage of a kind; that of PostgreSQL needs the fixture `postgres`."""
    if kind == "postgresql":
        return new_database(request.getfixturevalue("postgres"))
    return f"sqlite:///{folder}/study.db" if kind == "sqlite" else f"journal:{folder}/study.log"


BASE = Pretrain(data="nowhere")
SPACE = spaces.read_space(
    {"lr": [0.1 + 0.2, 1e-7, 0.5], "objective_options.cov": [1, 2, 4, 8, 16]}, BASE
)
UNITS = [Unit(params, seed) for params in spaces.grid(SPACE) for seed in (0, 1, 2, 3)]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ledger(
    url: str, folder: Path, *, worker: str | None = None, lease_seconds: float = 60.0
) -> tuple[Ledger, Storage]:
    """A worker's ledger of a study of `UNITS`, made where there is none; and its storage."""
    import optuna

    opened = open_storage(url, folder)
    with opened.guard():
        study = optuna.create_study(
            storage=opened.backend, study_name="study", direction="maximize", load_if_exists=True
        )
    books = Ledger(
        study,
        opened,
        worker or process_name(),
        Watch(lease_seconds),
        spaces.distributions(SPACE, []),
    )
    return books, opened


def trials_of(books: Ledger, unit: Unit) -> list[Any]:
    """All attempts at a unit, in order."""
    return [
        t
        for t in sorted(books.study.get_trials(deepcopy=False), key=lambda t: t.number)
        if (t.user_attrs.get("setting"), t.user_attrs.get("seed")) == unit.name
    ]


def owners(books: Ledger, units: Sequence[Unit]) -> dict[tuple[str, int], int]:
    """How many attempts at each unit ended as they should."""
    return {
        u.name: sum(t.state.is_finished() and t.state.name != "FAIL" for t in trials_of(books, u))
        for u in units
    }
