"""The folder of a classifier: safetensors and JSON, with checksums; nothing is pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.checksums import json_sum, sha256_of
from jessl.core.files import atomic_directory, contained, read_json, write_json

FORMAT = "jessl.classifier"
HEADER, ARRAYS = "classifier.json", "classifier.safetensors"
_CHECKSUM = "header_sha256"


def write_folder(
    path: Path, values: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]
) -> None:
    """Write the folder atomically.

    Args:
        values: JSON values, among them the kind of the classifier.
        arrays: by name.

    Raises:
        ValueError: when `path` exists.
    """
    from safetensors.numpy import save

    if path.exists():
        raise ValueError(f"classifier: expected a new folder, got {path}, which exists")
    with atomic_directory(path) as part:
        packed = save({k: np.ascontiguousarray(v) for k, v in arrays.items()})
        (part / ARRAYS).write_bytes(packed)
        header: dict[str, Any] = {
            "format": FORMAT,
            "version": 1,
            **values,
            "arrays_sha256": sha256_of(part / ARRAYS),
        }
        header[_CHECKSUM] = json_sum(header, without=_CHECKSUM)
        write_json(part / HEADER, header)


def read_folder(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The values and the arrays of a folder, compared with their checksums.

    Raises:
        ValueError: naming the file that is missing, changed since it was written, or no classifier.
    """
    if not path.is_dir():
        raise ValueError(f"classifier: no folder {path}")
    file, arrays_file = contained(path, HEADER), contained(path, ARRAYS)
    header = read_json(file)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"{file}: not the header of a classifier")
    if header.get(_CHECKSUM) != json_sum(header, without=_CHECKSUM):
        raise ValueError(f"{file}: changed since it was written (SHA-256 differs)")
    if not arrays_file.is_file():
        raise ValueError(f"no file {arrays_file}")
    if sha256_of(arrays_file) != header.get("arrays_sha256"):
        raise ValueError(f"{arrays_file}: changed since it was written (SHA-256 differs)")
    return header, _arrays(arrays_file)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays: dict[str, NDArray[Any]] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from None
    return arrays


def check_shapes(
    arrays: Mapping[str, NDArray[np.generic]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse arrays that are missing or have other shapes.

    Raises:
        ValueError: naming the first.
    """
    for name, shape in shapes.items():
        actual = arrays[name].shape if name in arrays else None
        if actual != shape:
            raise ValueError(f"{ARRAYS}: {name}: expected {shape}, got {actual}")


def known_fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the fields of a dataclass; later versions may write more."""
    return {f.name: values[f.name] for f in fields(kind) if f.name in values}


def classifier_folder(out: Path) -> Path:
    """Where the classifier behind a file of predictions goes.

    Several classifications share a folder, as their pages do: each is named after its file.

    Example:
        >>> str(classifier_folder(Path("sorted/birds.csv")))
        'sorted/birds-classifier'
    """
    return out.with_name(f"{out.stem}-classifier")
