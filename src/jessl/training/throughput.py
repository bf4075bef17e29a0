"""How many images a second a training takes when its data come at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import nn

from jessl.objectives import Objective
from jessl.training.optimizers import build_optimizer
from jessl.training.step import Trainer

_STEPS = 5
# after which no further step is begun, once two have been timed
_SECONDS = 10.0


def images_per_second(
    encoder: nn.Module,
    objective: Objective,
    *,
    sizes: Sequence[int],
    batch_size: int,
    device: torch.device,
    precision: torch.dtype | None,
    steps: int = _STEPS,
) -> float:
    """Images a second of full steps (forward, backward, update) on the same random views.

    The modules are moved to `device` and changed.

    Args:
        encoder: [batch, 3, s, s] to [batch, dim].
        objective: heads and loss.
        sizes: sides of the views of an image, pixels.
        batch_size: images a step.
        device: where it computes.
        precision: dtype of autocast; None: float32.
        steps: that are timed, after one to warm up; the median counts. Slow ones are fewer.
    """
    encoder.to(device)
    objective.to(device)
    trainer = Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=build_optimizer("adamw", [encoder, objective], lr=1e-6, weight_decay=0.0),
        lr=1e-6,
        total_steps=steps + 1,
        warmup_steps=0,
        steps_per_epoch=steps + 1,
        ema_start=0.99,
        precision=precision,
        device=device,
    )
    trainer.set_training()
    views = [torch.randn(batch_size, 3, size, size, device=device) for size in sizes]
    times: list[float] = []
    while len(times) <= steps and (len(times) < 3 or sum(times) < _SECONDS):
        since = time.perf_counter()
        trainer.take_step(views)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - since)
    return batch_size / statistics.median(times[1:])
