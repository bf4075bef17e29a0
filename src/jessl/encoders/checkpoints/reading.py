"""Files of weights: data, never code."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

# dicts in dicts: VISSL's classy_state_dict.base_model.model.trunk is four deep
_DEEPEST = 8
# torch.save never compresses: files that unpack to more than this are not its
_SWELLING = 4
_SLACK_BYTES = 1 << 20


class _Swollen(ValueError):
    """A file unpacks to far more than its size."""


def read_file(path: str | Path) -> Any:
    """What a .safetensors file, or a file that torch.load reads weights-only, holds.

    Raises:
        ValueError: in one line that names the file, when it is missing, truncated, swells on
            unpacking, or would run code on loading.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"no weights at {path}: a folder, not a file")
    if not path.is_file():
        raise ValueError(f"no weights at {path}: not a file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        _refuse_bombs(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which protocol a file was pickled with
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} {_no_data(str(error))}") from None
    except _Swollen:
        raise
    except Exception as error:  # safetensors, zip and pickle errors have no common base
        lines = str(error).strip().splitlines()
        # the pickle reader's own errors are as bare as KeyError: 101
        said = lines[0] if lines and not isinstance(error, KeyError) else type(error).__name__
        hint = "" if isinstance(error, PermissionError) else " (no weights file, or truncated)"
        raise ValueError(f"cannot read weights from {path}: {said}{hint}") from None


def _no_data(error: str) -> str:
    """What is wrong with a file that the weights-only reader refuses, by its message."""
    found = re.search(r"GLOBAL ([\w.]+)", error) or re.search(r"class ([\w.]+)", error)
    if found is None and "GLOBAL" not in error and "Unsupported" not in error:
        reason = next((line for line in reversed(error.splitlines()) if line.strip()), "")
        return f"is no weights file that can be read: {reason.strip()[:150]}"
    what = f" ({found[1]})" if found is not None else ""
    return (
        f"holds more than tensors{what} and would run code on loading; where you trust it, save "
        "its state_dict as .safetensors (torch.load with weights_only=False, then "
        "safetensors.torch.save_file) and give that"
    )


def _refuse_bombs(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    size = path.stat().st_size
    if unpacked > _SWELLING * size + _SLACK_BYTES:
        raise _Swollen(
            f"cannot read weights from {path}: its {size:,} bytes unpack to {unpacked:,}; "
            "torch.save does not compress"
        )


def nested(found: Any) -> dict[str, torch.Tensor]:
    """Tensors of dicts in dicts, named by their keys joined with dots, in the file's order.

    What is not a dict or a dense tensor, and dicts more than eight deep, are left out.
    """
    named: dict[str, torch.Tensor] = {}
    seen: set[int] = set()

    def walk(at: Any, name: str, depth: int) -> None:
        if isinstance(at, torch.Tensor):
            if at.layout == torch.strided and not at.is_quantized:
                named[name] = at
        elif isinstance(at, Mapping) and depth <= _DEEPEST and id(at) not in seen:
            seen.add(id(at))  # dicts can hold themselves
            for key, value in at.items():
                walk(value, f"{name}.{key}" if name else str(key), depth + 1)

    walk(found, "", 0)
    return named


def read_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """All tensors of a file by `nested` names.

    Raises:
        ValueError: as `read_file`, and where there is no tensor.
    """
    found = read_file(path)
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds {type(found).__name__}, expected a dict of tensors")
    tensors = nested(found)
    if not tensors:
        raise ValueError(f"{path} holds no tensors")
    return tensors


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Named tensors of a file; a dict under the key state_dict, model or teacher is unwrapped.

    Raises:
        ValueError: as `read_tensors`.
    """
    tensors = read_tensors(path)
    for key in ("state_dict.", "model.", "teacher."):
        inner = {k.removeprefix(key): v for k, v in tensors.items() if k.startswith(key)}
        tensors = inner or tensors
    return tensors
