"""A batch larger than memory, with the loss and gradient of the whole batch.

Losses that compare the images of a batch are not sums over its parts, so gradients of parts do
not add up to that of the whole. Two passes do it exactly (Gao et al., Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup, 2021): the representations of all parts without
gradient; the loss of them all and its gradient with respect to them; each part once more, with
gradient, from which the chain rule goes on. It costs a second forward pass of the encoder.

The heads see the whole batch. Of the encoder, batch norm sees a part at a time in both passes, its
running statistics move once (in the second pass), and dropout is replayed. For encoders without
layers that couple the images of a batch, value and gradient are those of one large batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from jessl.objectives import Terms
from jessl.training.forward import Forward


def accumulate_gradients(
    forward: Forward,
    views: list[torch.Tensor],
    n_global: int | None,
    labels: torch.Tensor | None,
    targets: torch.Tensor | None = None,
    *,
    micro_batch: int,
    precision: Callable[[], AbstractContextManager[object]],
    backward: Callable[[torch.Tensor], None],
) -> tuple[Terms, torch.Tensor]:
    """Put the gradients of a whole batch into the parameters, a micro-batch at a time.

    Args:
        forward: encoder, teacher and objective.
        views: k tensors [batch, 3, s, s].
        n_global, labels, targets: as an objective's loss takes them.
        micro_batch: most images that go through the encoder with gradient at a time.
        precision: context of the forward passes.
        backward: called with the loss (a scaler may scale it).

    Returns:
        The terms of the whole batch, and its representations [k, batch, dim], detached.
    """
    device = views[0].device
    count = -(-len(views[0]) // micro_batch)
    ends = [len(views[0]) * k // count for k in range(count + 1)]
    # even parts: batch norm in a last part of one image would see nothing but its views
    parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
    states: list[list[torch.Tensor]] = []
    student: list[torch.Tensor] = []
    teacher: list[torch.Tensor] = []
    with torch.no_grad(), _preserved_buffers(forward.encoder), precision():
        for part in parts:
            states.append(_random_state(device))
            student.append(forward.represent_student([v[part] for v in views]))
    with precision():
        for part in parts:
            target = forward.represent_teacher([v[part] for v in views], n_global)
            if target is not None:
                teacher.append(target)
        cached = torch.cat(student, dim=1).requires_grad_()
        terms = forward.compare(
            cached, torch.cat(teacher, dim=1) if teacher else None, n_global, labels, targets
        )
    backward(terms.total)
    assert cached.grad is not None
    after = _random_state(device)
    for part, state in zip(parts, states, strict=True):
        _set_random_state(device, state)
        with precision():
            again = forward.represent_student([v[part] for v in views])
        again.backward(cached.grad[:, part])
    _set_random_state(device, after)
    return Terms(terms.total.detach(), terms.parts), cached.detach()


@contextmanager
def _preserved_buffers(module: nn.Module) -> Iterator[None]:
    """Restore the buffers (running statistics) after the block."""
    saved = [b.clone() for b in module.buffers()]
    yield
    for buffer, before in zip(module.buffers(), saved, strict=True):
        buffer.copy_(before)


def _random_state(device: torch.device) -> list[torch.Tensor]:
    cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *cuda]


def _set_random_state(device: torch.device, state: list[torch.Tensor]) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
