"""Schedules as pure functions of the step."""

from __future__ import annotations

import math

# the rate that cosine decay ends at, as a share of the peak (FFCV-SSL's recipes)
END_SHARE = 1e-3


def warmup_cosine(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then cosine to 0.001.

    Args:
        step: 0..total_steps - 1.
        total_steps: steps of the run.
        warmup_steps: steps of linear growth; the first of them is already above 0.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return END_SHARE + (1 - END_SHARE) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def momentum_to_one(step: int, *, total_steps: int, start: float) -> float:
    """Momentum of a teacher: from `start` to 1 by half a cosine (BYOL, section 3.2)."""
    return 1 - (1 - start) * (1 + math.cos(math.pi * min(1.0, step / max(1, total_steps)))) / 2
