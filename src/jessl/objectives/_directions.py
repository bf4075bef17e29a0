"""Random directions in which sliced statistics of a batch are taken."""

from __future__ import annotations

import torch

from jessl.core.devices import to_device
from jessl.core.random import step_generator
from jessl.objectives._base import Objective, TrainingPosition
from jessl.objectives._checks import check_at_least
from jessl.objectives._heads import build_head


class DirectionalObjective(Objective):
    """A projector whose outputs are made standard normal along random directions.

    The directions are drawn from (seed, step), the same on all processes and after a restart.

    Args:
        projector: a head (`_heads.build_head`); None: 4 dim - 4 dim - max(16, dim / narrowing).
        dim: width of the representations.
        directions: how many are drawn at each step.
        narrowing: dim over the width of the default head's output.
    """

    raises_rank = True
    directions: torch.Tensor

    def __init__(
        self, projector: str | int | None, dim: int, *, directions: int, narrowing: int
    ) -> None:
        super().__init__()
        check_at_least(1, directions=directions)
        widths = f"{4 * dim}-{4 * dim}-{max(16, dim // narrowing)}"
        # a standard normal is centred: the last layer needs a bias
        self.projector = build_head(projector, dim, widths, last_bias=True)
        drawn = random_directions(self.projector.out, directions).float()
        self.register_buffer("directions", drawn, persistent=False)

    def begin_step(self, position: TrainingPosition) -> None:
        """Draw the step's directions."""
        _redraw(self.directions, position)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out], which the regularizer makes standard normal."""
        return self.projector(representations)


def random_directions(
    dim: int, number: int, *, seed: int = 0, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Draw unit vectors, uniform on the sphere, from seed and step: float64 [dim, number]."""
    generator = step_generator(seed, step)
    drawn = torch.randn(dim, number, generator=generator, dtype=torch.float64)
    return to_device(drawn / drawn.norm(dim=0), device)


def _redraw(directions: torch.Tensor, position: TrainingPosition) -> None:
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
