"""An encoder with its weights, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from jessl.encoders import Encoder
from jessl.encoders.build import Normalisation
from jessl.extraction.open_encoder import open_encoder


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


def open_identified(
    encoder: str | Encoder,
    *,
    size: int | None,
    seed: int,
    device: torch.device,
    normalisation: Callable[[], Normalisation] | None = None,
) -> OpenedEncoder:
    """Open an encoder on the device where it computes.

    Args:
        encoder: as `jessl.embed` takes it.
        size: side of the input in pixels; None, and for run folders: the size of the encoder.
        seed: of random weights.
        device: where it computes.
        normalisation: gives mean and standard deviation of the bands that encoders by name take;
            None: they take RGB.

    Raises:
        ValueError, OSError, RuntimeError, ImportError: when the encoder cannot be opened.
    """
    own = size is None or isinstance(encoder, Encoder) or Path(encoder).is_dir()
    net, _, provenance = open_encoder(
        encoder, size=None if own else size, seed=seed, normalisation=normalisation
    )
    return OpenedEncoder(
        spec=encoder if isinstance(encoder, str) else encoder.name,
        encoder=net.to(device).eval(),
        provenance=provenance,
        sha256=weights_sha256(net),
        parameters=sum(p.numel() for p in net.parameters()),
        weights_mb=sum(t.numel() * t.element_size() for t in net.state_dict().values()) / 1e6,
    )


def weights_sha256(net: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes of all tensors (hexadecimal), sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        held = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {held.dtype} {tuple(held.shape)}\n".encode())
        digest.update(held.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
