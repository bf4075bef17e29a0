"""Atomic files and folders: written beside their place, synced, then renamed; and a folder lock."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LOCK = ".lock"
_MOST_DIGITS = 300  # floats end at 1.8e308


class Busy(ValueError):
    """A folder that another process is writing."""


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block succeeds.

    A process killed inside the block leaves `path` as it was. On an error the temporary file is
    removed and the error is raised.

    Example:
        >>> with atomic_write("table.csv") as part:
        ...     part.write_text("a,b\\n")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        _sync(part)
        # mkstemp creates files that only their owner can read; the result follows the umask
        part.chmod(0o666 & ~_umask())
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _about(error, path) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` when the block succeeds.

    An existing `path` is replaced only after the new folder is complete and synced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield part
        for file in part.rglob("*"):
            _sync(file)
        _sync(part)
        part.chmod(0o777 & ~_umask())
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            path.replace(old / path.name)
            part.replace(path)
            shutil.rmtree(old)
        else:
            part.replace(path)
        _sync(path.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise _about(error, path) from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Be the only writer of a folder; what killed writers left in it is removed first.

    The lock ends with the process that holds it. A folder created here is removed when the block
    fails and leaves nothing in it.

    Raises:
        Busy: when another process is writing it.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another process is writing {folder}; wait for it or stop it") from None
    try:
        for place in (folder, *(p for p in folder.iterdir() if p.is_dir())):
            remove_partial(place)
        yield
    except BaseException:
        lock.release()
        if created and not any(p.name != LOCK for p in folder.iterdir()):
            shutil.rmtree(folder)
        raise
    finally:
        lock.release()


def remove_partial(folder: str | Path) -> None:
    """Remove what killed writers left in a folder; only for its only writer.

    Unfinished files and folders are deleted. A folder that was set aside while its successor took
    its place comes back if the successor is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    for old in folder.glob(".*.old"):
        for entry in old.iterdir():
            if not (folder / entry.name).exists():
                entry.replace(folder / entry.name)
        shutil.rmtree(old)
    for part in folder.glob(".*.part"):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented UTF-8 JSON, atomically. NaN and infinities are refused."""
    with atomic_write(path) as part:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: when the file is missing, is no regular file, or is not JSON.
    """
    return _parsed(Path(path), parse_json, "JSON")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ValueError: when the file is missing, is no regular file, or is not TOML.
    """
    tables: dict[str, Any] = _parsed(Path(path), tomllib.loads, "TOML")
    return tables


def parse_json(text: str) -> Any:
    """JSON without whole numbers that no float can hold, which no reader expects.

    Raises:
        ValueError: for text that is not such JSON.
        RecursionError: for text that is nested too deep.
    """
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _parsed(path: Path, parse: Callable[[str], Any], kind: str) -> Any:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without end
            raise ValueError(f"{path} is not a regular file")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"no file {path}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not {kind}: {error}") from None
    try:
        return parse(text)
    except RecursionError:
        raise ValueError(f"{path} is not {kind} of ours: it is nested too deep") from None
    except ValueError as error:  # malformed, or a number of thousands of digits
        raise ValueError(f"{path} is not {kind}: {error}") from None


def _about(error: OSError, path: Path) -> OSError:
    """The same error about the final file, not about its temporary one."""
    if error.errno is None and "requested and" in str(error):  # numpy's message for a short write
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return OSError(error.errno, error.strerror or str(error), str(path))


def _sync(path: Path) -> None:
    """Flush `path` to the disk; folders are skipped on Windows, which cannot sync them."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
