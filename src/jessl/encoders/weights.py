"""Weights from files: data, never code."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from jessl.encoders.encoder import Encoder

# wrappers that other trainers put around a backbone's names
_PREFIXES = ("module.", "model.", "encoder.", "backbone.", "body.", "net.")
# heads that an encoder does not have: left out without a word
_HEADS = ("fc.", "linear.", "classifier.", "head.", "heads.")


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


def load_weights(encoder: Encoder, path: str | Path) -> list[str]:
    """Load weights into an encoder; prefixes such as module. are stripped.

    Returns:
        Names in the file that the encoder has no place for (heads excluded).

    Raises:
        ValueError: when the file lacks parameters of the encoder or shapes differ, naming them.
    """
    found = _stripped(read_weights(path), set(encoder.body.state_dict()))
    wanted = encoder.body.state_dict()
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(
            f"{path} does not fit encoder {encoder.name} ({encoder.stem} stem): {len(missing)} of "
            f"{len(wanted)} tensors are missing, first {missing[0]!r}"
        )
    for key, value in wanted.items():
        if key in found and found[key].shape != value.shape:
            raise ValueError(
                f"{path} does not fit encoder {encoder.name} ({encoder.stem} stem): {key} is "
                f"{list(found[key].shape)} in the file and {list(value.shape)} in the encoder"
            )
    encoder.body.load_state_dict({k: found.get(k, v) for k, v in wanted.items()})
    return [k for k in found if k not in wanted and not k.startswith(_HEADS)]


def _stripped(tensors: dict[str, torch.Tensor], wanted: set[str]) -> dict[str, torch.Tensor]:
    """Strip common prefixes until the names meet the wanted ones."""
    while not wanted & tensors.keys():
        prefix = next((p for p in _PREFIXES if any(k.startswith(p) for k in tensors)), None)
        if prefix is None:
            return tensors
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return tensors
