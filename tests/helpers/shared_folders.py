"""Folders that all processes of pytest-xdist share: the first that needs one fills it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def shared_folder(
    factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]
) -> Path:
    """The folder `name` of this test session, filled by `fill` once for all its processes."""
    base = factory.getbasetemp()
    # each process of pytest-xdist has a folder within that of the session
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, filled = session / name, session / f"{name}.filled"
    with FileLock(session / f"{name}.lock"):
        if not filled.exists():
            folder.mkdir()  # not a second time: what a failed process left is no folder to use
            fill(folder)
            filled.touch()
    return folder
