"""Files of weights: data, never code."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from jessl.core.checksums import ChangedError, check_file
from jessl.core.zip_files import ZipBombError, check_uncompressed_zip

# nested dicts: VISSL's classy_state_dict.base_model.model.trunk is four deep
_DEEPEST = 8


def read_file(path: str | Path) -> object:
    """Read a .safetensors file, or a file that torch.load reads weights-only.

    Raises:
        ValueError: in one line that names the file, when it is missing, truncated, a zip bomb, or
            would run code on loading.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"no weights at {path}: a folder, not a file")
    if not path.is_file():
        raise ValueError(f"no weights at {path}: not a file")
    if kind := _text_kind(path):
        raise ValueError(f"{path} is text ({kind}), not weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
            check_file(path)
            return tensors
        check_uncompressed_zip(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which protocol a file was pickled with
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} {_describe_refusal(str(error))}") from None
    except (ZipBombError, ChangedError) as error:
        raise ValueError(f"cannot read weights from {path}: {error}") from None
    except Exception as error:  # safetensors, zip and pickle errors have no common base
        lines = str(error).strip().splitlines()
        # errors of the pickle reader may be as bare as KeyError: 101
        reason = lines[0] if lines and not isinstance(error, KeyError) else type(error).__name__
        hint = "" if isinstance(error, PermissionError) else " (not a weights file, or truncated)"
        raise ValueError(f"cannot read weights from {path}: {reason}{hint}") from None


def _text_kind(path: Path) -> str | None:
    """What a file is that a failed download left in the place of weights; None for others."""
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith(b"version https://git-lfs.github.com"):
        return "a Git LFS pointer: fetch the file itself with git lfs pull"
    return "a web page" if head.startswith((b"<!doctype", b"<html", b"<?xml")) else None


def _describe_refusal(error: str) -> str:
    """Explain why the weights-only reader refused a file, from its message."""
    culprit = re.search(r"GLOBAL ([\w.]+)", error) or re.search(r"class ([\w.]+)", error)
    if culprit is None and "GLOBAL" not in error and "Unsupported" not in error:
        reason = next((line for line in reversed(error.splitlines()) if line.strip()), "")
        return f"is not a readable weights file: {reason.strip()[:150]}"
    what = f" ({culprit[1]})" if culprit is not None else ""
    return (
        f"holds more than tensors{what} and would run code on loading; where you trust it, save "
        "its state_dict as .safetensors (torch.load with weights_only=False, then "
        "safetensors.torch.save_file) and give that"
    )


def flatten_tensors(contents: object) -> dict[str, torch.Tensor]:
    """Tensors of nested dicts, named by their keys joined with dots, in the order of the file.

    Anything other than a dict or a dense tensor, and dicts more than eight deep, are left out.
    """
    named: dict[str, torch.Tensor] = {}
    visited: set[int] = set()

    def walk(value: object, name: str, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            if value.layout == torch.strided and not value.is_quantized:
                named[name] = value
        elif isinstance(value, Mapping) and depth <= _DEEPEST and id(value) not in visited:
            visited.add(id(value))  # a dict can contain itself
            for key, item in value.items():
                walk(item, f"{name}.{key}" if name else str(key), depth + 1)

    walk(contents, "", 0)
    return named


def read_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """All tensors of a file, named as by `flatten_tensors`.

    Raises:
        ValueError: as `read_file`, and where the file holds no tensor.
    """
    contents = read_file(path)
    if not isinstance(contents, Mapping):
        raise ValueError(f"{path}: expected a dict of tensors, got {type(contents).__name__}")
    tensors = flatten_tensors(contents)
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
