"""Random directions in which sliced statistics of a batch are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from jessl.core.devices import to_device
from jessl.core.random import step_generator

if TYPE_CHECKING:
    from jessl.objectives._base import TrainingPosition


def random_directions(
    dim: int, number: int, *, seed: int = 0, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Draw unit vectors, uniform on the sphere, from seed and step: float64 [dim, number]."""
    generator = step_generator(seed, step)
    drawn = torch.randn(dim, number, generator=generator, dtype=torch.float64)
    return to_device(drawn / drawn.norm(dim=0), device)


def redraw_directions(directions: torch.Tensor, position: TrainingPosition) -> None:
    """Overwrite directions [dim, number] with those of a step: equal on all processes."""
    dim, number = directions.shape
    drawn = random_directions(dim, number, seed=position.seed, step=position.step)
    directions.copy_(to_device(drawn.to(directions.dtype), directions.device))


def check_directions(directions: torch.Tensor, z: torch.Tensor) -> None:
    """Refuse directions that are not [dim, number] for embeddings z [..., dim].

    Raises:
        ValueError: naming both shapes.
    """
    if directions.ndim != 2 or len(directions) != z.shape[-1]:
        raise ValueError(
            f"directions: expected [{z.shape[-1]}, number] for z {list(z.shape)}, "
            f"got {list(directions.shape)}"
        )
