"""A linear layer in a .safetensors file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def load_linear(layer: nn.Linear, path: Path) -> None:
    """Load `weight` and `bias` of a file into a layer.

    Raises:
        ValueError: for a file that cannot be read, or has tensors of other names, shapes or
            values that are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"classifier: {path}: {str(error).splitlines()[0]}") from None
    own = layer.state_dict()
    for name, value in own.items():
        shape = tuple(tensors[name].shape) if name in tensors else None
        if shape != tuple(value.shape):
            raise ValueError(
                f"classifier: {path}: {name}: expected {tuple(value.shape)}, got {shape}"
            )
        if not tensors[name].isfinite().all():
            raise ValueError(f"classifier: {path}: {name}: expected finite values")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])
