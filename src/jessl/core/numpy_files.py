""".npy and .npz files of unknown origin: never unpickled; sizes are checked before loading."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from jessl.core.resources import check_memory
from jessl.core.validation import escape_control

# images compress 2 to 20 times; nothing but a zip bomb is both this large and this dense
_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 100
# what numpy and zipfile raise for damaged files: the header of a .npy file is a Python literal
DAMAGED = (
    tokenize.TokenError,
    SyntaxError,
    OSError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    RuntimeError,  # an encrypted member; NotImplementedError of an unknown compression
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def map_npy(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """A memory map of a .npy file, whose announced size is compared with the file.

    Raises:
        ValueError: in one line that does not name the file.
    """
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("not a .npy file, whatever its name says")
    with _one_line():
        mapped: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
        return mapped


def names_in_npz(path: Path) -> list[str]:
    """The names of the arrays in a .npz file.

    Raises:
        ValueError: in one line that does not name the file.
    """
    with _npz(path) as archive:
        return list(archive.files)


def read_npz(path: Path, names: list[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of a .npz file, all by default, if they fit into the memory that is available.

    Raises:
        ValueError: in one line that does not name the file: damaged, larger than the memory, or a
            zip bomb (more than 1 GiB that is compressed more than 100 times).
    """
    with _npz(path) as archive:
        wanted = list(archive.files) if names is None else names
        members = {info.filename.removesuffix(".npy"): info for info in archive.zip.infolist()}
        chosen = [members[name] for name in wanted if name in members]
        unpacked = sum(info.file_size for info in chosen)
        packed = sum(info.compress_size for info in chosen)
        if unpacked > _BOMB_BYTES and unpacked > _BOMB_RATIO * packed:
            raise ValueError(f"a zip bomb: {packed:,} bytes unpack to {unpacked:,}")
        check_memory(unpacked, "reading its arrays")
        for info in chosen:
            _check_member(archive.zip, info)
        return {name: archive[name] for name in wanted}


@contextmanager
def _npz(path: Path) -> Iterator[Any]:
    # numpy leaves a file open that it opened itself and cannot read
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise ValueError("not a .npz file, whatever its name says")
        file.seek(0)
        with _one_line(), np.load(file, allow_pickle=False) as archive:
            yield archive


def _check_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Compare the size that the head of an array announces with the size of the member."""
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            return  # numpy refuses what it cannot read
        read = np.lib.format
        header = read.read_array_header_1_0 if version == (1, 0) else read.read_array_header_2_0
        shape, _, kind = header(member)
        start = member.tell()
    announced = kind.itemsize
    for side in shape:
        announced *= int(side)
    if not kind.hasobject and not 0 <= announced <= info.file_size - start:
        raise ValueError(
            f"{escape_control(info.filename)}: expected {announced} bytes of {kind} {list(shape)}, "
            f"got {info.file_size - start}"
        )


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None and error.strerror:
            text = error.strerror
        else:
            text = " ".join(str(error).split()) or type(error).__name__
        if "object" in text.lower() or "pickle" in text.lower():
            text = "it holds Python objects (a pickle), which are never loaded"
        raise ValueError(escape_control(text)) from None


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write a .npy file, or raise OSError.

    `np.save` hands a real file to C, which does not report what fails when its buffer is flushed:
    on a full disk the file lacks its end, without an error.
    """
    with path.open("wb") as file:
        np.save(_Written(file), array, allow_pickle=False)


class _Written:
    """A file of which numpy knows nothing but `write`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)
