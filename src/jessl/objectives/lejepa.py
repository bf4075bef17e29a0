"""LeJEPA: views agree, and their embeddings follow a standard normal distribution.

Balestriero, LeCun, LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics,
2025 (arXiv 2511.08544): SIGReg in section 4, the loss in section 5. Epps, Pulley, A test for
normality based on the empirical characteristic function, Biometrika 1983.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from jessl.core import collectives
from jessl.objectives._base import Representations, Terms
from jessl.objectives._checks import check_at_least
from jessl.objectives._directions import (
    DirectionalObjective,
    check_directions,
    random_directions,
)
from jessl.objectives._heads import apply_to_views
from jessl.objectives._precision import full_precision
from jessl.objectives._views import distance_to_global_mean

__all__ = ["LeJEPA", "LeJEPAConfig", "sigreg"]

# where the integral over the frequency is cut off (authors' code; the paper's listing has 5)
_T_MAX = 3.0


@full_precision
def sigreg(
    z: torch.Tensor, *, directions: torch.Tensor | int = 256, knots: int = 17
) -> torch.Tensor:
    """Distance of embeddings from N(0, I): Epps and Pulley's statistic in random directions.

    In a direction, with x the n projections, phi(t) = exp(-t^2 / 2) and e(t) the mean of
    exp(i t x): n times the integral of |e(t) - phi(t)|^2 exp(-t^2 / 2) over t from -3 to 3, by the
    trapezoid rule on [0, 3], doubled. The mean over directions (and views) is returned.

    Convention (the authors' published code): n is the batch of all processes, over which e is
    averaged, so every process has the same value. A normal batch has an expectation near 1.05
    whatever n is; other batches grow with n. The paper's listing integrates from -5 to 5 with as
    many knots. Memory for the gradient: views * batch * directions * (knots - 1) numbers.

    Example:
        sigreg(torch.randn(256, 64))  # about 1.05

    Args:
        z: [batch, dim], or [views, batch, dim]: each view by itself, then the mean.
        directions: unit vectors [dim, number], the same on all processes, drawn anew for each
            step; or a number of fixed ones.
        knots: points of the trapezoid rule, including t = 0, where both functions are 1; >= 2.

    Raises:
        ValueError: for another shape of z or directions, or too small a number.
    """
    if z.ndim not in (2, 3):
        raise ValueError(f"z: expected [batch, dim] or [views, batch, dim], got {list(z.shape)}")
    check_at_least(2, knots=knots)
    if isinstance(directions, int):
        check_at_least(1, directions=directions)
        directions = random_directions(z.shape[-1], directions, device=z.device)
    check_directions(directions, z)
    t = torch.linspace(0, _T_MAX, knots, dtype=z.dtype, device=z.device)[1:]
    phi = torch.exp(-t.square() / 2)
    # trapezoid rule, doubled for t < 0: half a step at the end; at t = 0 the integrand is 0
    width = torch.full_like(t, 2 * _T_MAX / (knots - 1))
    width[-1] /= 2
    angles = (z @ directions.to(z.dtype)).unsqueeze(-1) * t
    e = torch.stack([angles.cos().mean(dim=-3), angles.sin().mean(dim=-3)])
    real, imaginary = collectives.all_reduce_mean(e)
    distance = (real - phi).square() + imaginary.square()
    n = z.shape[-2] * collectives.world()
    return n * (distance * (phi * width)).sum(dim=-1).mean()


@dataclass(frozen=True, kw_only=True)
class LeJEPAConfig:
    """Options of LeJEPA.

    Attributes:
        projector: a head (`_heads.build_head`); None: 4 dim - 4 dim - max(16, dim / 8),
            the authors' 2048-2048 on a ViT-S/8 of width 512, to scale (their example ends in 16,
            the paper's table of projectors in 64 and more).
        lambd: share of SIGReg in the loss, 0 to 1; the paper's .05, the authors' example has .02.
        directions: number that SIGReg draws at each step, > 0 (the paper recommends 1024 for a
            large training; its listing has 256).
        knots: points of SIGReg's integral, >= 2.
    """

    name: ClassVar[str] = "lejepa"
    projector: str | int | None = None
    lambd: float = 0.05
    directions: int = 256
    knots: int = 17

    def build(self, dim: int) -> LeJEPA:
        """The objective for representations of width `dim`."""
        return LeJEPA(self, dim)


class LeJEPA(DirectionalObjective):
    """Projector, agreement with the mean of the global views, and SIGReg of every view.

    The directions are drawn from (seed, step), the same on all processes and after a restart.
    """

    def __init__(self, config: LeJEPAConfig, dim: int) -> None:
        if not 0 <= config.lambd <= 1:
            raise ValueError(f"lambd: expected a number from 0 to 1, got {config.lambd}")
        check_at_least(2, knots=config.knots)
        super().__init__(config.projector, dim, directions=config.directions, narrowing=8)
        self.config = config

    def compute_loss(self, batch: Representations) -> Terms:
        """(1 - lambd) invariance + lambd SIGReg of representations [views, batch, dim]."""
        z = apply_to_views(self.projector, batch.student)
        invariance = distance_to_global_mean(z, batch.n_global)
        normality = sigreg(z, directions=self.directions, knots=self.config.knots)
        lambd = self.config.lambd
        total = (1 - lambd) * invariance + lambd * normality
        return Terms(total, {"invariance": invariance.detach(), "sigreg": normality.detach()})
