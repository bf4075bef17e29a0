"""Writing a folder of embeddings, whose features may come in blocks of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.checksums import json_sum, sha256_of
from jessl.core.files import read_json, write_json
from jessl.core.leftovers import other_names
from jessl.core.numpy_files import write_npy
from jessl.core.texts import Texts

FORMAT = "jessl.embeddings"
CHECKSUM = "header_sha256"
# arrays of the names: their bytes, and where each ends
UTF8, ENDS = "names_utf8", "names_ends"
# rows that are written at once
_ENTRIES = 2**22


def write_folder(
    folder: Path,
    blocks: Iterable[NDArray[np.float32]],
    shape: tuple[int, int],
    *,
    ids: NDArray[np.int64],
    labels: NDArray[np.int64] | None,
    groups: NDArray[np.int64] | None,
    meta: Mapping[str, Any],
    names: Texts | None = None,
) -> None:
    """Write features.npy, ids.npy, meta.json and what else there is into an empty folder.

    One block of features at a time is in memory; the files have the same bytes however the rows
    are divided.

    Args:
        folder: exists, and is renamed by the caller.
        blocks: float32 [rows, d] each, n rows in all.
        shape: (n, d).

    Raises:
        ValueError: for blocks that have another number of rows or features in all.
    """
    n, d = shape
    digest, written = hashlib.sha256(), 0
    with (folder / "features.npy").open("wb") as file:
        head = {"descr": "<f4", "fortran_order": False, "shape": (n, d)}
        np.lib.format.write_array_header_1_0(file, head)
        step = max(1, _ENTRIES // d)
        for block in blocks:
            if block.ndim != 2 or block.shape[1] != d:
                raise ValueError(f"features: expected blocks [rows, {d}], got {block.shape}")
            for start in range(0, len(block), step):
                rows = np.ascontiguousarray(block[start : start + step], "<f4")
                digest.update(rows.data)
                file.write(rows.data)
            written += len(block)
    if written != n:
        raise ValueError(f"features: expected {n} rows, got {written}")
    arrays: dict[str, NDArray[Any] | None] = {"ids": ids, "labels": labels, "groups": groups}
    if names is not None:
        arrays |= {UTF8: names.blob, ENDS: names.ends}
    files = [f"{name}.npy" for name, array in arrays.items() if array is not None]
    for name, array in arrays.items():
        if array is not None:
            write_npy(folder / f"{name}.npy", array)
    header = {
        "format": FORMAT,
        "version": 1,
        "n": n,
        "d": d,
        "labels": labels is not None,
        "groups": groups is not None,
        "names": names is not None,
        "sha256": digest.hexdigest(),
        "files": {name: sha256_of(folder / name) for name in sorted(files)},
        "meta": dict(meta),
    }
    header[CHECKSUM] = json_sum(header, without=CHECKSUM)
    write_json(folder / "meta.json", header)


def stored_arrays(header: Mapping[str, Any]) -> list[str]:
    """Names of the arrays of a folder with this header, whose files are NAME.npy.

    Folders that older versions wrote have no entries "groups" and "names".
    """
    optional = [key for key in ("labels", "groups") if header.get(key)]
    return ["features", "ids", *optional, *((UTF8, ENDS) if header.get("names") else ())]


def is_replaceable(path: Path, *, besides: frozenset[str] = frozenset()) -> bool:
    """Whether a path is an empty folder or one of embeddings.

    Args:
        besides: names in it that do not count.
    """
    if not path.is_dir():
        return False
    if not other_names(path) - besides:
        return True
    try:
        header = read_json(path / "meta.json")
    except ValueError:
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT
