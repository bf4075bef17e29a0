"""torch.compile where it works; elsewhere a note, and the training goes on without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import nn

from jessl.core import collectives
from jessl.training.forward import represent


def compiled(
    module: nn.Module,
    views: list[torch.Tensor],
    precision: Callable[[], AbstractContextManager[object]],
) -> tuple[Callable[[torch.Tensor], torch.Tensor], str | None]:
    """(the compiled module, None), or (the module itself, a line with the reason).

    It is tried on `views`, forward and backward where it has gradients; the module's buffers and
    gradients and the random generators are left as they were. Of several processes each tries by
    itself, in evaluation mode: synchronised batch norm would wait for one that failed.

    Args:
        module: an encoder, [batch, 3, s, s] to [batch, dim].
        views: of the sizes and on the device of the training.
        precision: context of the forward passes.
    """
    saved = [b.clone() for b in module.buffers()]
    learns = any(p.requires_grad for p in module.parameters())
    gpus = [views[0].device] if views[0].device.type == "cuda" else []
    run: Callable[[torch.Tensor], torch.Tensor] = torch.compile(module)
    note = None
    was_training = module.training
    if collectives.world() > 1:
        module.eval()
    try:
        with torch.random.fork_rng(devices=gpus):
            with precision(), torch.set_grad_enabled(learns):
                out = represent(run, views)
            if learns:
                out.float().sum().backward()
    except Exception as error:  # compilers fail in ways of their own
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        run, note = module, f"compile: {reason[:200]}; the training goes on without"
        torch.compiler.reset()
    finally:
        module.train(was_training)
        with torch.no_grad():
            for buffer, before in zip(module.buffers(), saved, strict=True):
                buffer.copy_(before)
        for p in module.parameters():
            p.grad = None
    return run, note
