"""Atomic files and folders: written beside their place, synced, then renamed; and a folder lock."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessl.core.exchange import exchange
from jessl.core.leftovers import (
    LOCK,
    new_file,
    new_folder,
    remove_leftovers,
    remove_tree,
)

if TYPE_CHECKING:
    from filelock import FileLock

_MOST_DIGITS = 300  # floats end at 1.8e308


class Busy(ValueError):
    """A folder that another process is writing."""


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block succeeds.

    A process killed inside the block leaves `path` as it was. On an error the temporary file is
    removed and the error is raised. Where `path` is a link, the link is replaced and its target
    stays as it is.

    Example:
        >>> with atomic_write("table.csv") as part:
        ...     part.write_text("a,b\\n")
    """
    path = Path(path)
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as part:
            yield part
            _sync(part)
            # the result follows the umask
            part.chmod(0o666 & ~_umask())
            part.replace(path)
        _sync(path.parent)
    except OSError as error:
        _discard(part)
        raise _about(error, path) from error
    except BaseException:
        _discard(part)
        raise


def _discard(part: Path | None) -> None:
    """Remove what was not finished, as far as that is possible."""
    if part is not None:
        with contextlib.suppress(OSError):
            remove_tree(part)


@contextlib.contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` when the block succeeds.

    An existing `path` is exchanged with the new folder in one step once that is complete and
    synced, so that a process killed at any time leaves the old one or the new one there. File
    systems without such a step set the old one aside first, and the next call brings it back. What
    killed calls left of `path` is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, target=path)
    part: Path | None = None
    try:
        with new_folder(path) as part:
            yield part
            for file in part.rglob("*"):
                _sync(file)
            _sync(part)
            part.chmod(0o777 & ~_umask())
            _take_place(part, path)
        _sync(path.parent)
    except OSError as error:
        _discard(part)
        raise _about(error, path) from error
    except BaseException:
        _discard(part)
        raise


def _take_place(part: Path, path: Path) -> None:
    """Put a complete folder in the place of `path`, and remove what was there."""
    if not os.path.lexists(path):
        part.replace(path)
    elif exchange(part, path):
        remove_tree(part)
    else:
        with new_folder(path, "old") as old:
            path.replace(old / path.name)
            try:
                part.replace(path)
            except OSError:
                (old / path.name).replace(path)
                raise
            finally:
                remove_tree(old)


@contextlib.contextmanager
def locked(folder: str | Path, check: Callable[[], object] | None = None) -> Iterator[None]:
    """Be the only writer of a folder.

    The lock ends with the process that holds it. A folder created here is removed when the block
    fails and leaves nothing in it.

    Args:
        folder: created where it does not exist.
        check: raises ValueError where the folder is not one that this command writes. It is called
            before anything is touched and again under the lock; then what killed writers left in
            the folder and its subfolders is removed. Without it nothing is removed.

    Raises:
        Busy: when another process is writing it.
        ValueError: of `check`; nothing was touched.
    """
    from filelock import Timeout

    folder = Path(folder)
    if check is not None:
        check()
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = file_lock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another process is writing {folder}; wait for it or stop it") from None
    try:
        if check is not None:
            check()
            root = folder.resolve()  # a person gave the folder; links in it are not followed
            for place in (root, *(p for p in root.iterdir() if p.is_dir())):
                remove_leftovers(place)
        yield
    except BaseException:
        lock.release()
        if created and folder.is_dir() and not any(p.name != LOCK for p in folder.iterdir()):
            shutil.rmtree(folder)
        raise
    finally:
        lock.release()


def file_lock(path: str | Path) -> FileLock:
    """A lock that is a file; a link is never followed, for opening a lock empties its file.

    Raises:
        ValueError: where the path is a link.
    """
    from filelock import FileLock

    if Path(path).is_symlink():
        raise ValueError(f"{path} is a link: a lock has to be a file of its folder; remove it")
    return FileLock(path)


def contained(folder: str | Path, *parts: str) -> Path:
    """The path of `parts` in a folder, where no link on the way leads out of the folder.

    The folder itself may be a link: a person gave it.

    Raises:
        ValueError: naming the path that leads elsewhere.
    """
    folder = Path(folder)
    path = folder.joinpath(*parts)
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle of links
        inside = False
    if not inside:
        raise ValueError(f"{path} leads out of {folder}: links in it are not followed")
    return path


def is_contained_file(folder: str | Path, *parts: str) -> bool:
    """Whether a path in a folder is a regular file that lies in the folder."""
    try:
        path = contained(folder, *parts)
    except ValueError:
        return False
    return path.is_file()


def copy_file(source: Path, path: str | Path) -> None:
    """Copy a file's content to `path`, atomically."""
    with atomic_write(path) as part:
        shutil.copyfile(source, part)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented UTF-8 JSON, atomically. NaN and infinities are refused.

    Bytes of file names that are no UTF-8 (surrogates) are written as JSON's escapes.
    """
    with atomic_write(path) as part:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


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
    return _DECODER.decode(text)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


# json.loads makes a new one for each text
_DECODER = json.JSONDecoder(parse_int=_whole)


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
