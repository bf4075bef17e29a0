"""Unfinished files and folders of jessl: their exact names, whether a writer still holds them, and
their removal.

A writer names what it has not finished `.jessl-PID-TARGETRANDOM.part` (or `.old` for what it has
set aside), with eight hexadecimal digits that stand for the name of the target and eight random
ones. It holds an advisory lock (flock) on it, which ends with the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: a leftover is never known to be abandoned there
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_NAME = re.compile(r"\.jessl-\d{1,10}-([0-9a-f]{8})[0-9a-f]{8}\.(?:part|old)")


def is_leftover(name: str) -> bool:
    """Whether a file name is one that only an unfinished write of jessl has."""
    return _NAME.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Whether a file name in a folder is of a lock or of an unfinished write of jessl."""
    return name == LOCK or is_leftover(name)


def other_names(folder: str | Path) -> set[str]:
    """Names in a folder that are neither its lock nor unfinished writes; empty without a folder."""
    folder = Path(folder)
    return {p.name for p in folder.iterdir() if not is_own(p.name)} if folder.is_dir() else set()


def new_leftover(target: Path, suffix: str) -> Path:
    """A path beside `target` that does not exist yet; suffix: part or old."""
    return target.with_name(
        f".jessl-{os.getpid()}-{_target_digits(target)}{secrets.token_hex(4)}.{suffix}"
    )


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A new empty file beside `target`, which only its owner can read; held in the block."""
    with _created(target, "part", _create_file) as path:
        yield path


@contextlib.contextmanager
def new_folder(target: Path, suffix: str = "part") -> Iterator[Path]:
    """A new empty folder beside `target`, which only its owner can read; held in the block."""
    with _created(target, suffix, lambda path: path.mkdir(0o700)) as path:
        yield path


@contextlib.contextmanager
def _created(target: Path, suffix: str, create: Callable[[Path], None]) -> Iterator[Path]:
    handle = None
    while handle is None:
        path = new_leftover(target, suffix)
        create(path)
        if fcntl is None:
            break
        handle = _lock(path)
    try:
        yield path
    finally:
        if handle is not None:
            os.close(handle)


def _create_file(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _lock(path: Path) -> int | None:
    """A handle with the lock of a new leftover; None where another process has removed it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    if path.exists():
        return handle
    os.close(handle)
    return None


def is_abandoned(path: Path) -> bool:
    """Whether no process holds a leftover any more; False where that cannot be known."""
    with _taken(path) as is_free:
        return is_free


@contextlib.contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Whether no process holds a leftover; in the block none can."""
    if path.is_symlink():  # no writer makes a link; it goes, its target stays
        yield True
        return
    handle = None
    is_free = False
    if fcntl is not None:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = True
    try:
        yield is_free
    finally:
        if handle is not None:
            os.close(handle)


def leftovers(folder: str | Path) -> list[Path]:
    """The leftovers in a folder, by exact name; empty for a link and where there is no folder."""
    folder = Path(folder)
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if is_leftover(p.name))


def remove_leftovers(folder: str | Path, target: Path | None = None) -> list[Path]:
    """Remove the abandoned leftovers of a folder that is known to be ours.

    A folder that was set aside comes back where its successor is missing.

    Args:
        folder: nothing is done where it is a link.
        target: only leftovers of this path, which lies in the folder.

    Returns:
        What was removed.
    """
    digits = None if target is None else _target_digits(target)
    removed = []
    for path in leftovers(folder):
        match = _NAME.fullmatch(path.name)
        if digits is not None and (match is None or match[1] != digits):
            continue
        with _taken(path) as is_free:
            if not is_free:
                continue
            if path.suffix == ".old":
                _bring_back(path)
            remove_tree(path)
        removed.append(path)
    return removed


def remove_tree(path: Path) -> None:
    """Remove a file, a link (never its target) or a folder with its content."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def set_aside(target: Path) -> Path | None:
    """The leftover that holds `target` while its place is empty; None where there is none."""
    if os.path.lexists(target):
        return None
    places = (p / target.name for p in leftovers(target.parent) if p.suffix == ".old")
    return next((place.parent for place in places if place.exists()), None)


def _bring_back(old: Path) -> None:
    """Give what was set aside its place again, where that is empty."""
    if old.is_symlink() or not old.is_dir():
        return
    match = _NAME.fullmatch(old.name)
    for entry in old.iterdir():
        place = old.with_name(entry.name)
        if match and _target_digits(place) == match[1] and not os.path.lexists(place):
            entry.replace(place)


def _target_digits(target: Path) -> str:
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]
