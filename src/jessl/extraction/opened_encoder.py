"""An encoder with its weights, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from jessl.encoders import Encoder


@dataclass(frozen=True)
class OpenedEncoder:
    """An encoder with its weights.

    Attributes:
        spec: the name, file or folder that it was opened by.
        encoder: in evaluation mode, on its device.
        provenance: where it came from (JSON values).
        sha256: of names, types, shapes and bytes of all its tensors.
        parameters: number of trained values; buffers are not counted.
        weights_mb: 10^6 bytes of parameters and buffers.
    """

    spec: str
    encoder: Encoder
    provenance: Mapping[str, object]
    sha256: str
    parameters: int
    weights_mb: float


def weights_sha256(net: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes of all tensors (hexadecimal), sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        held = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {held.dtype} {tuple(held.shape)}\n".encode())
        digest.update(held.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
