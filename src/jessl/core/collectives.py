"""Differentiable collectives; the identity in one process.

Gradients: each process differentiates its own total, and DDP averages the gradients of the
parameters. The backward pass of each function here is the exact transpose over all processes.
Therefore a loss computed from gathered tensors, or one whose mean over the processes is the loss
of the whole batch, has the same gradient as in one process on the whole batch.
"""

from __future__ import annotations

import torch
from torch import distributed
from torch.autograd.function import FunctionCtx


def rank() -> int:
    """Rank of this process; 0 in one process."""
    return distributed.get_rank() if _is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return distributed.get_world_size() if _is_initialized() else 1


def _is_initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def gather(x: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """The rows of all processes along `dim`, in the order of the global batch; differentiable.

    Process r of W holds rows r, W + r, 2 W + r, ... of the global batch, as `jessl.Loader` deals
    them. The result is the same tensor on every process and for every W.

    Args:
        x: a tensor of the same shape on all processes.
        dim: the dimension of the rows.
    """
    if world() == 1:
        return x
    parts: torch.Tensor = _Gather.apply(x)
    return parts.movedim(0, dim + 1).flatten(dim, dim + 1)


def all_reduce_mean(x: torch.Tensor) -> torch.Tensor:
    """The mean of x over the processes; differentiable."""
    return x if world() == 1 else _Sum.apply(x) / world()


def all_reduce_sum(x: torch.Tensor) -> torch.Tensor:
    """The sum of x over the processes; differentiable."""
    return x if world() == 1 else _Sum.apply(x)


class _Gather(torch.autograd.Function):
    """From [...] on each of W processes to [W, ...] on all."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        distributed.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: torch.Tensor) -> torch.Tensor:
        grad = grads[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad)
        return grad[rank()]


class _Sum(torch.autograd.Function):
    """The sum over processes, forward and backward."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        out = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: torch.Tensor) -> torch.Tensor:
        grad = grads[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad)
        return grad
