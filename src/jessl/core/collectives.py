"""What several processes compute together; the identity in one process.

Gradients: each process differentiates its own total, and the engine averages the gradients of the
parameters. A loss whose total is computed from gathered tensors, or whose totals have the loss of
the whole batch as their mean, then has the gradient of one process on the whole batch: the
backward pass of each function here is the exact transpose over all processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed


def rank() -> int:
    """Number of this process, 0 in one process."""
    return distributed.get_rank() if _together() else 0


def world() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if _together() else 1


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def gather(x: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """The rows of all processes along `dim`, in the order of the global batch; differentiable.

    Process r of W holds rows r, W + r, 2 W + r, ... of the global batch (as `jessl.Loader` deals
    them), and gets all of them: the same tensor on every process and for every W.

    Args:
        x: of one shape on all processes.
        dim: along which the rows lie.
    """
    if world() == 1:
        return x
    parts = _Gather.apply(x)
    return parts.movedim(0, dim + 1).flatten(dim, dim + 1)


def all_reduce_mean(x: torch.Tensor) -> torch.Tensor:
    """The mean of x over the processes; differentiable."""
    return x if world() == 1 else _Sum.apply(x) / world()


def all_reduce_sum(x: torch.Tensor) -> torch.Tensor:
    """The sum of x over the processes; differentiable."""
    return x if world() == 1 else _Sum.apply(x)


class _Gather(torch.autograd.Function):
    """[...] on each of W processes to [W, ...] on all."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        distributed.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        grad = grads[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad)
        return grad[rank()]


class _Sum(torch.autograd.Function):
    """The sum over processes, there and back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        out = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        grad = grads[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad)
        return grad
