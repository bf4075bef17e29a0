"""Checkpoints: one folder a step, complete or absent; tensors as data, never code."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jessl.core.checksums import check_file, write_checksums
from jessl.core.files import atomic_directory, contained
from jessl.core.leftovers import remove_tree
from jessl.core.zip_files import check_uncompressed_zip

MODEL = "model.safetensors"
STATE = "state.pt"
_NAME = re.compile(r"step-(\d{9})")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: named tensors of the modules, and the state of everything else."""

    path: Path
    step: int
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def save(
    folder: Path, step: int, modules: dict[str, nn.Module], state: Mapping[str, object]
) -> Path:
    """Write folder/step-000000120 with model.safetensors, state.pt and their checksums.json.

    Args:
        folder: the checkpoints of a run.
        step: optimizer steps taken.
        modules: tensors are named MODULE.NAME.
        state: tensors, numbers, strings, lists and dicts: what torch.load reads weights-only.

    Raises:
        OSError: when the disk does not take it; nothing is left of the attempt.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = folder / f"step-{step:09d}"
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    try:
        with atomic_directory(path) as part:
            save_file(tensors, part / MODEL)
            torch.save({"step": step, **state}, part / STATE)
            write_checksums(part, (MODEL, STATE))
    except (SafetensorError, RuntimeError) as error:  # neither library raises OSError
        reason = str(error).splitlines()[0]
        raise OSError(
            errno.EIO, f"the checkpoint could not be written: {reason}", str(path)
        ) from error
    return path


def steps(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of the complete checkpoints of a run, in rising order; no links."""
    if not folder.is_dir():
        return []
    matches = [
        (m, p)
        for p in folder.iterdir()
        if (m := _NAME.fullmatch(p.name)) and p.is_dir() and not p.is_symlink()
    ]
    return sorted((int(m[1]), p) for m, p in matches)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ValueError: naming the file when one is missing, truncated, changed since it was written or
            holds more than data.
    """
    from safetensors.torch import load_file

    file = path / MODEL
    try:
        check_file(contained(path, MODEL))
        tensors = load_file(file)
        file = path / STATE
        check_file(contained(path, STATE))
        check_uncompressed_zip(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        step = int(state.pop("step"))
    except Exception as error:  # safetensors, zip and pickle errors have no common base
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"cannot read checkpoint {file}: {reason}") from None
    return Checkpoint(path, step, tensors, state)


def load_latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that can be read, and one line for each newer one that cannot."""
    notes: list[str] = []
    for _, path in reversed(steps(folder)):
        try:
            return load(path), notes
        except ValueError as error:
            notes.append(str(error))
    return None, notes


def restore(modules: dict[str, nn.Module], tensors: dict[str, torch.Tensor], where: Path) -> None:
    """Load named tensors into modules; every name and shape must fit.

    Raises:
        ValueError: naming the first tensor that does not.
    """
    for name, module in modules.items():
        own = {
            k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")
        }
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            line = " ".join(str(error).split())[:300]
            raise ValueError(
                f"checkpoint {where} does not fit this configuration: {line}"
            ) from None


def prune(folder: Path, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints; 0 keeps all."""
    if keep:
        for _, path in steps(folder)[:-keep]:
            remove_tree(path)
