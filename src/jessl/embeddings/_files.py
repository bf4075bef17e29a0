"""Reading of features from .npy, .npz, .safetensors and tables; nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.log import Log, log
from jessl.core.numpy_files import map_npy, names_in_npz, read_npz
from jessl.core.validation import unknown_name
from jessl.embeddings._columns import DETECTED, Columns
from jessl.embeddings._tables import SUFFIXES as TABLES
from jessl.embeddings._tables import read_table

# a numpy array, or a torch tensor where numpy has no such type
Array = Any

SUFFIXES = (".npy", ".npz", ".safetensors", *TABLES)
_MOST_SHOWN = 8
# allowed names inside a file, the first one that exists counts
_NAMES = {
    "features": ("features", "z", "x", "embeddings"),
    "labels": ("labels", "y"),
    "ids": ("ids",),
    "groups": ("groups",),
    "names": ("names", "paths", "filenames"),
}
_SAFETENSORS_TYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")


def read_arrays(
    path: Path, *, mmap: bool, columns: Columns = DETECTED, log: Log = log
) -> dict[str, Array]:
    """Features, and labels, classes, ids, groups and names where the file has them.

    Args:
        columns: the arrays or columns of each role; how others were detected is noted in `log`.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    with errors_naming(path):
        if path.suffix in TABLES:
            return read_table(path, columns, log)
        if path.suffix == ".npy":
            if columns != DETECTED:
                raise ValueError("a .npy file has no columns: leave their names out")
            return {"features": read_npy(path, mmap=mmap)}
        is_npz = path.suffix == ".npz"
        chosen = _roles(names_in_npz(path) if is_npz else _names_in_safetensors(path), columns)
        read = read_npz if is_npz else _read_safetensors
        arrays = read(path, [name for name in chosen.values() if name is not None])
        by_role = {role: arrays[name] for role, name in chosen.items() if name is not None}
        return _with_texts(by_role, columns)


def _roles(present: list[str], columns: Columns) -> dict[str, str | None]:
    """The array of each role."""
    requested = {"features": columns.features, "labels": columns.label, "names": columns.name}
    chosen: dict[str, str | None] = {}
    for role, usual in _NAMES.items():
        name = requested.get(role)
        if name is not None and name not in present:
            raise ValueError(unknown_name("array", name, present))
        chosen[role] = name or next((k for k in usual if k in present), None)
    if chosen["features"] is None:
        holds = (
            f"it holds {', '.join(shown[:_MOST_SHOWN])}" if (shown := sorted(present)) else "empty"
        )
        raise ValueError(
            f"expected one of the arrays {', '.join(_NAMES['features'])}, got {holds}"
            "; name it with --features-columns (features_columns=)"
        )
    return chosen


def _with_texts(arrays: dict[str, Array], columns: Columns) -> dict[str, Array]:
    """Labels that are texts as numbers and classes; names that are no texts of the rows left out.

    Arrays called names may be those of classes.
    """
    names, labels = arrays.get("names"), arrays.get("labels")
    n = len(arrays["features"])
    if names is not None:
        texts = np.asarray(names)
        if texts.dtype.kind != "U" or texts.shape != (n,):
            if columns.name is not None:
                raise ValueError(
                    f"{columns.name}: expected {n} texts, got {texts.dtype} {list(texts.shape)}"
                )
            del arrays["names"]
        else:
            arrays["names"] = texts.tolist()
    if labels is not None and np.asarray(labels).dtype.kind == "U" and np.ndim(labels) == 1:
        known = sorted(set(labels.tolist()) - {""})
        number = {name: k for k, name in enumerate(known)} | {"": -1}
        arrays["labels"] = np.array([number[text] for text in labels.tolist()], np.int64)
        arrays["classes"] = known
    return arrays


def read_npy(path: Path, *, mmap: bool) -> NDArray[Any]:
    """The array of a .npy file, or a map of it."""
    # mapping first compares the announced size with the file, before any memory is allocated
    mapped = map_npy(path)
    return np.asarray(mapped) if mmap else np.array(mapped)


def _names_in_safetensors(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return list(file.keys())


def _read_safetensors(path: Path, names: list[str]) -> dict[str, Array]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        types = {name: file.get_slice(name).get_dtype() for name in names}
        for name, kind in types.items():
            if kind not in _SAFETENSORS_TYPES:
                raise ValueError(f"{name}: expected {', '.join(_SAFETENSORS_TYPES)}, got {kind}")
        if "BF16" not in types.values():
            return {name: file.get_tensor(name) for name in names}
    # numpy has no bfloat16
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in names}


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
