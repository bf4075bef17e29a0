"""Weights from files: data, never code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from jessl.encoders.encoder import Encoder

# wrappers that other trainers put around a backbone's names
_PREFIXES = ("module.", "model.", "encoder.", "backbone.", "body.", "net.")
# heads that an encoder does not have: left out without a word
_HEADS = ("fc.", "linear.", "classifier.", "head.", "heads.")
# where an encoder keeps the block to its own number of features
_EXPANSION = "expansion."


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Named tensors of a .safetensors file or of a file that torch.load reads weights-only.

    A dict under the key state_dict, model or teacher is unwrapped.

    Raises:
        ValueError: naming the file when it is missing, truncated, holds anything but tensors, or
            would run code on loading.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no weights at {path}: not a file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path} holds more than tensors and would run code on loading; "
            "save its state_dict as .safetensors and give that"
        ) from None
    except Exception as error:  # safetensors and zip errors have no common base
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"cannot read weights from {path}: {reason[0] if reason else error!r}"
        ) from None
    for key in ("state_dict", "model", "teacher"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, expected a dict of tensors")
    tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no tensors")
    return tensors


def load_weights(
    encoder: Encoder, path: str | Path, *, tell: Callable[[str], None] | None = None
) -> list[str]:
    """Load weights into an encoder; prefixes such as module. are stripped.

    The block of an encoder with its own `dim` is loaded from a file that has one, such as a run's
    checkpoint; weights of the body alone leave it random.

    Args:
        encoder: in place.
        path: as `read_weights`.
        tell: called with one line where the block stays random.

    Returns:
        Names in the file that the encoder has no place for (heads excluded).

    Raises:
        ValueError: when the file lacks parameters of the encoder or shapes differ, naming them.
    """
    rest, block = _apart(read_weights(path))
    found = _stripped(rest, set(encoder.body.state_dict()))
    values = _fitted(encoder, "", encoder.body, found, path)
    unused = [k for k in found if k not in values and not k.startswith(_HEADS)]
    if encoder.expansion is not None and block:
        own = _fitted(encoder, _EXPANSION, encoder.expansion, block, path)
        encoder.expansion.load_state_dict(own)
        block = {k: v for k, v in block.items() if k not in own}
    elif encoder.expansion is not None and tell is not None:
        tell(f"{path} has no block to {encoder.dim} features: its weights stay random")
    encoder.body.load_state_dict(values)
    return unused + [_EXPANSION + k for k in block]


def _fitted(
    encoder: Encoder,
    under: str,
    module: nn.Module,
    found: dict[str, torch.Tensor],
    path: str | Path,
) -> dict[str, torch.Tensor]:
    """What a part of an encoder, whose tensors are named `under`, takes of the found tensors.

    Raises:
        ValueError: when one is missing or has another shape.
    """
    wanted = module.state_dict()
    fits_not = f"{path} does not fit encoder {encoder.name} ({encoder.stem} stem): "
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(
            f"{fits_not}{len(missing)} of {len(wanted)} tensors are missing, first "
            f"{under + missing[0]!r}"
        )
    for key, value in wanted.items():
        if key in found and found[key].shape != value.shape:
            raise ValueError(
                f"{fits_not}{under}{key} is {list(found[key].shape)} in the file and "
                f"{list(value.shape)} in the encoder"
            )
    return {k: found.get(k, v) for k, v in wanted.items()}


def _apart(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], ...]:
    """Tensors without, and those of, an encoder's block to its own `dim`; the latter by its names.

    The block stands beside a body: a part of that name inside of a body is the body's.
    """
    rest, block = {}, {}
    for name, tensor in tensors.items():
        before, mark, own = name.partition(_EXPANSION)
        if mark and all(f"{word}." in _PREFIXES for word in before.split(".")[:-1]):
            block[own] = tensor
        else:
            rest[name] = tensor
    return rest, block


def _stripped(tensors: dict[str, torch.Tensor], wanted: set[str]) -> dict[str, torch.Tensor]:
    """Strip common prefixes until the names meet the wanted ones."""
    while not wanted & tensors.keys():
        prefix = next((p for p in _PREFIXES if any(k.startswith(p) for k in tensors)), None)
        if prefix is None:
            return tensors
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return tensors
