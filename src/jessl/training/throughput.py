"""How many images a second a training takes when its data come at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from jessl.objectives import Objective
from jessl.training.optimizers import build_optimizer
from jessl.training.step import Trainer
from jessl.training.tuning.candidates import SETTINGS, search_space
from jessl.training.tuning.outcome import Tuning
from jessl.training.tuning.search import Search
from jessl.training.tuning.speed import Speed
from jessl.training.tuning.trial import TimedBatch

# for all settings but the plain ones
_SECONDS = 10.0
# what is left to a training: compiling pays by its length, and memory is not what is measured
_LEFT = frozenset({"compile", "micro_batch", "threads"})


def measure_training(
    encoder: nn.Module,
    objective: Objective,
    *,
    sizes: Sequence[int],
    batch_size: int,
    device: torch.device,
    tune: bool = True,
) -> Tuning:
    """The speed of full steps (forward, backward, update) on the same random views.

    In float32, contiguous, and as the tuning of a training chooses, in steps that take turns.
    Compilation and the threads that a loader shares are left out.

    The modules are moved to `device`.

    Args:
        encoder: [batch, 3, s, s] to [batch, dim].
        objective: heads and loss.
        sizes: sides of the views of an image, pixels.
        batch_size: images a step.
        device: where it computes.
        tune: whether to measure more than the plain settings.
    """
    encoder.to(device)
    objective.to(device)
    trainer = Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=_optimizer([encoder, objective], False),
        lr=1e-6,
        total_steps=1_000,
        warmup_steps=0,
        steps_per_epoch=1_000,
        ema_start=0.99,
        precision=None,
        device=device,
    )
    views = [torch.randn(batch_size, 3, size, size, device=device) for size in sizes]
    left_open = frozenset(SETTINGS) - _LEFT if tune else frozenset()
    return Search(
        trainer=trainer,
        space=search_space(Speed(), left_open, device=device, optimizer="adamw", world=1),
        batch=TimedBatch(views, None),
        optimizer=_optimizer,
        batches=None,
        seconds=_SECONDS,
        remaining_seconds=0.0,
    ).run()


def _optimizer(modules: Iterable[nn.Module], fused: bool) -> torch.optim.Optimizer:
    return build_optimizer("adamw", list(modules), lr=1e-6, weight_decay=0.0, fused=fused)
