"""Reading of arrays from .npy, .npz and .safetensors files; nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.numpy_files import map_npy, names_in_npz, read_npz

# a numpy array, or a torch tensor where numpy has no such type
Array = Any

SUFFIXES = (".npy", ".npz", ".safetensors")
# allowed names inside a file, the first one that exists counts
_NAMES = {
    "features": ("features", "z", "x", "embeddings"),
    "labels": ("labels", "y"),
    "ids": ("ids",),
    "groups": ("groups",),
}
_ALL_NAMES = tuple(name for names in _NAMES.values() for name in names)
_SAFETENSORS_TYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")


def read_arrays(path: Path, *, mmap: bool) -> dict[str, Array]:
    """Features, and labels, ids and groups where the file has them.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    with errors_naming(path):
        if path.suffix == ".npy":
            return {"features": read_npy(path, mmap=mmap)}
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
        named = {
            role: next((arrays[name] for name in names if name in arrays), None)
            for role, names in _NAMES.items()
        }
        if named["features"] is None:
            raise ValueError(
                f"expected one of the arrays {', '.join(_NAMES['features'])}, got none"
            )
    return {role: array for role, array in named.items() if array is not None}


def read_npy(path: Path, *, mmap: bool) -> NDArray[Any]:
    """The array of a .npy file, or a map of it."""
    # mapping first compares the announced size with the file, before any memory is allocated
    mapped = map_npy(path)
    return np.asarray(mapped) if mmap else np.array(mapped)


def _read_npz(path: Path) -> dict[str, Array]:
    present = names_in_npz(path)
    return dict(read_npz(path, [name for name in _ALL_NAMES if name in present]))


def _read_safetensors(path: Path) -> dict[str, Array]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        present = [name for name in _ALL_NAMES if name in file.keys()]  # noqa: SIM118 (not a dict)
        types = {name: file.get_slice(name).get_dtype() for name in present}
        for name, kind in types.items():
            if kind not in _SAFETENSORS_TYPES:
                raise ValueError(f"{name}: expected {', '.join(_SAFETENSORS_TYPES)}, got {kind}")
        if "BF16" not in types.values():
            return {name: file.get_tensor(name) for name in present}
    # numpy has no bfloat16
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in present}


def low_precision(features: Array) -> dict[str, str]:
    """Provenance of features that were stored with less precision than float32, for warnings."""
    kind = str(features.dtype).removeprefix("torch.")
    return {"stored_as": kind} if kind in ("float16", "bfloat16") else {}


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Everything that a damaged file makes a reader raise becomes one ValueError with its path."""
    import tokenize
    import zipfile
    import zlib

    from safetensors import SafetensorError

    damaged = (
        tokenize.TokenError,  # the header of a .npy file is a Python literal
        OSError,
        ValueError,
        EOFError,
        KeyError,
        OverflowError,
        zipfile.BadZipFile,
        zlib.error,
        SafetensorError,
        NotImplementedError,
    )
    try:
        yield
    except damaged as error:
        raise ValueError(f"{path}: {error or type(error).__name__}") from error
