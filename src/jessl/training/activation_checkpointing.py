"""Activation checkpointing: less memory for more time, by computing blocks of an encoder twice.

Chen, Xu, Zhang, Guestrin, Training Deep Nets with Sublinear Memory Cost, 2016: a block keeps its
input alone, and the backward pass computes the rest again, one more forward pass a step. Values,
gradients and running statistics are those of the plain encoder.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


class _Recomputed(nn.Module):
    """Mixed into a kind of block; it has no attribute of its own, so that a copy is its own."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(*args, **kwargs)
        # torch.compile handles the second pass itself, and accepts no such contexts
        if not torch.compiler.is_compiling():
            kwargs["context_fn"] = functools.partial(_contexts, self)
        return checkpoint(
            super().forward,
            *args,
            use_reentrant=False,
            preserve_rng_state=True,  # dropout drops the same again
            **kwargs,
        )


def recompute_blocks(encoder: nn.Module) -> int:
    """Compute the blocks of an encoder again in the backward pass while it trains.

    Blocks are modules with parts of their own in a Sequential or ModuleList, such as the residual
    blocks of a ResNet's stages and the layers of a transformer; a plain list of such blocks is
    looked into, a block is not. Without gradients and in evaluation nothing changes.

    Args:
        encoder: in place; names of its tensors stay, and a deep copy recomputes its own blocks.

    Returns:
        The number of blocks.

    Raises:
        ValueError: where there are none.
    """
    blocks = {id(block): block for block in _blocks(encoder)}
    if not blocks:
        name = getattr(encoder, "name", type(encoder).__name__)
        raise ValueError(f"encoder {name} has no blocks to recompute")
    for block in blocks.values():
        if not isinstance(block, _Recomputed):
            block.__class__ = _recomputed(type(block))
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The blocks in a module; a block may come more than once."""
    listed = isinstance(module, (nn.Sequential, nn.ModuleList))
    for child in module.children():
        if not _has_parts(child):
            continue
        if listed and not (_is_list(child) and any(map(_has_parts, child.children()))):
            yield child
        else:
            yield from _blocks(child)


def _has_parts(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _is_list(module: nn.Module) -> bool:
    """Whether a module only holds others, so that it may be a stage."""
    return type(module) in (nn.Sequential, nn.ModuleList)


_KINDS: dict[type, type] = {}


def _recomputed(kind: type) -> type:
    """The kind of block that recomputes."""
    if kind not in _KINDS:
        _KINDS[kind] = type(f"Recomputed{kind.__name__}", (_Recomputed, kind), {})
    return _KINDS[kind]


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What stands around the first and the second forward pass of a block."""
    return contextlib.nullcontext(), _preserved_statistics(block)


@contextlib.contextmanager
def _preserved_statistics(block: nn.Module) -> Iterator[None]:
    """Let the block's batch norms change copies of their running statistics.

    Without statistics at all (track_running_stats=False) a batch norm keeps fewer tensors for its
    gradient than it did the first time, and checkpoint refuses that.
    """
    buffers = [(m, name, b) for m in block.modules() if isinstance(m, _NormBase)
            for name, b in m._buffers.items() if b is not None]  # fmt: skip
    for module, name, buffer in buffers:
        module._buffers[name] = buffer.clone()
    try:
        yield
    finally:
        for module, name, buffer in buffers:
            module._buffers[name] = buffer
