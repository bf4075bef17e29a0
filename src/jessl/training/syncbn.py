"""Batch norm over the batches of all processes, differentiable, on any device.

torch's SyncBatchNorm computes on GPUs only. Equal to BatchNorm on the whole batch: value, gradient
and running statistics; processes must have equally many rows.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from jessl.core import collectives

Module = TypeVar("Module", bound=nn.Module)


class _Synchronised(_BatchNorm):
    """Mixed into a kind of batch norm: statistics of all processes while training."""

    def _normalise(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or collectives.world() == 1:
            return _BatchNorm.forward(self, x)
        self._check_input_dim(x)
        dtype = x.dtype
        x = x.float() if dtype in (torch.float16, torch.bfloat16) else x
        axes = [k for k in range(x.ndim) if k != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        mean = collectives.all_reduce_mean(x.mean(axes))
        centred = x - mean.view(shape)
        variance = collectives.all_reduce_mean(centred.square().mean(axes))
        if self.track_running_stats and self.running_mean is not None:
            self._follow(mean.detach(), variance.detach(), x.numel() // x.shape[1])
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.weight is not None:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(dtype)

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor, rows: int) -> None:
        """Running statistics, the variance unbiased, as BatchNorm keeps them."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        n = rows * collectives.world()
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * n / (n - 1)).to(self.running_var.dtype), share)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, ...] normalised over all but the channels and over all processes."""
        out = self._normalise(x)
        # timm's batch norms drop and activate as well
        for after in ("drop", "act"):
            module = getattr(self, after, None)
            out = out if module is None else module(out)
        return out


def synchronise(module: Module) -> Module:
    """The module, its batch norms now over all processes; names of tensors stay.

    On a GPU torch's fused SyncBatchNorm takes their place, elsewhere they change their class.
    """
    if any(p.is_cuda for p in module.parameters()):
        from timm.layers import convert_sync_batchnorm

        return convert_sync_batchnorm(module)
    for part in module.modules():
        if isinstance(part, _BatchNorm) and not isinstance(part, (_Synchronised, nn.SyncBatchNorm)):
            part.__class__ = _synchronised(type(part))
    return module


_KINDS: dict[type, type] = {}


def _synchronised(kind: type) -> type:
    """The kind of batch norm with synchronised statistics."""
    if kind not in _KINDS:
        _KINDS[kind] = type(f"Synchronised{kind.__name__}", (_Synchronised, kind), {})
    return _KINDS[kind]
