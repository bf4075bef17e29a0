"""Evaluating a model in the middle of a training without changing the training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import distributed, nn

from jessl.core import collectives
from jessl.core.precision import full_float32


@contextmanager
def preserve_training_state(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, full float32 and own random numbers while the block lasts.

    Modes, buffers, forward and random states are restored afterwards.
    """
    device = model_device(model)
    with ExitStack() as stack:
        for part in (_evaluation_mode, _buffers_of_rank_zero, _original_forward):
            stack.enter_context(part(model))
        stack.enter_context(_own_random_numbers(device))
        stack.enter_context(full_float32())
        for kind in {"cpu", device.type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def model_device(model: nn.Module) -> torch.device:
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    # the flags alone: some modules do more in train() and eval(), such as merging weights
    modes = [(m, m.training) for m in model.modules()]
    for m, _ in modes:
        m.training = False
    try:
        yield
    finally:
        for m, was in modes:
            m.training = was


@contextmanager
def _buffers_of_rank_zero(model: nn.Module) -> Iterator[None]:
    """Running statistics differ between the processes of DDP: one set of weights for all rows."""
    if collectives.world() == 1:
        yield
        return
    saved = [(b, b.detach().clone()) for b in model.buffers()]
    with torch.no_grad():
        for b, _ in saved:
            first = b.detach().clone(memory_format=torch.contiguous_format)
            distributed.broadcast(first, 0)
            b.copy_(first)
    try:
        yield
    finally:
        with torch.no_grad():
            for b, before in saved:
                b.copy_(before)


@contextmanager
def _original_forward(model: nn.Module) -> Iterator[None]:
    """accelerate puts an autocast into the model's forward, and keeps the original beside it."""
    patched, original = (vars(model).get(name) for name in ("forward", "_original_forward"))
    if patched is None or original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = patched


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    """A loader draws a number for its workers even where nothing else is random."""
    cuda = device.type == "cuda"
    python_state, numpy_state, torch_state = (
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
    )
    cuda_state = torch.cuda.get_rng_state(device) if cuda else None
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)
    if cuda:
        torch.cuda.default_generators[device.index or 0].manual_seed(0)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, device)
