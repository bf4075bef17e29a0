"""Gradients averaged over processes; the identity for one."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import distributed, nn

from jessl.core import collectives

# gradients are averaged in pieces of about this many numbers
_PIECE = 2**23


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace the gradients by their means over the processes."""
    if collectives.world() == 1:
        return
    piece: list[torch.Tensor] = []
    for p in parameters:
        if p.grad is not None:
            piece.append(p.grad)
        if sum(g.numel() for g in piece) > _PIECE:
            _average(piece)
            piece = []
    if piece:
        _average(piece)


def _average(grads: list[torch.Tensor]) -> None:
    flat = torch.cat([g.reshape(-1) for g in grads])
    distributed.all_reduce(flat)
    flat /= collectives.world()
    start = 0
    for g in grads:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()


def parallel(forward: nn.Module, device: torch.device) -> nn.Module:
    """The forward pass with gradients that are averaged while they are computed."""
    if collectives.world() == 1:
        return forward
    where = [device.index] if device.type == "cuda" else None
    # synchronised batch norm keeps the buffers alike; the option's name depends on torch's age
    data_parallel = nn.parallel.DistributedDataParallel
    known = inspect.signature(data_parallel).parameters
    option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {"device_ids": where, option: False}
    return data_parallel(forward, **options)
