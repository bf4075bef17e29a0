"""VISReg: views agree, and their embeddings have the scale and the shape of a standard normal.

Wu, Balestriero, Levine, VISReg: Variance-Invariance-Sketching Regularization for JEPA Training,
2026 (arXiv 2606.02572), equations 1 to 8, and the authors' published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from jessl.objectives._base import Representations, Terms
from jessl.objectives._checks import check_at_least, check_rows
from jessl.objectives._directions import (
    DirectionalObjective,
    check_directions,
    random_directions,
)
from jessl.objectives._heads import apply_to_views
from jessl.objectives._precision import full_precision
from jessl.objectives._views import distance_to_global_mean, gather_batch

__all__ = ["VISReg", "VISRegConfig", "visreg"]

# least deviation that a dimension is divided by (authors' code)
_LEAST_DEVIATION = 1e-6


def visreg(
    z: torch.Tensor,
    *,
    n_global: int | None = None,
    lambd: float = 0.9,
    scale: float = 1.0,
    shape: float = 1.0,
    center: float = 1.0,
    directions: torch.Tensor | int = 256,
) -> torch.Tensor:
    """(1 - lambd) invariance + lambd (scale + shape + center), each term with its weight.

    Invariance: squared distance of each view from the mean of its image's global views, mean over
    views, batch and dim. The others are of each view's batch by itself, then the mean over views.
    Center: square of the mean of a dimension. Scale: (1 - deviation)^2 of a dimension. Shape: the
    batch, centred and divided by its deviations, is projected on the directions; squared distance
    of the sorted projections from the normal quantiles at 1 / (n + 1), ..., n / (n + 1).

    Convention (the authors' published code): deviations with 1 / n; those that divide take no
    gradient; means over dimensions, directions and rows, not sums. lightly adds 1e-4 to the
    deviations that divide (2e-4 less on these inputs), stable-pretraining 1e-6 to all of them.

    Example:
        visreg(torch.randn(2, 256, 64))

    Args:
        z: embeddings [views, batch, dim], at least 2 rows a batch.
        n_global: number of global views, the first ones; None: all.
        lambd: 0 to 1.
        scale, shape, center: weights, >= 0.
        directions: unit vectors [dim, number], or a number of fixed ones.

    Raises:
        ValueError: for another shape of z or directions, or a number out of range.
    """
    if z.ndim != 3:
        raise ValueError(f"z: expected [views, batch, dim], got {list(z.shape)}")
    _check_options(lambd, scale, shape, center)
    if isinstance(directions, int):
        check_at_least(1, directions=directions)
        directions = random_directions(z.shape[-1], directions, device=z.device)
    check_directions(directions, z)
    invariance = distance_to_global_mean(z, n_global)
    return _weighted(invariance, _distribution_terms(z, directions), lambd, (scale, shape, center))


@full_precision
def _distribution_terms(z: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Scale, shape and center terms of embeddings [views, batch, dim]: [3], without weights."""
    check_rows(2, "to have a deviation", z[0])
    n = z.shape[1]
    mean = z.mean(dim=1, keepdim=True)
    # a norm, whose gradient at a collapsed dimension is 0 and not infinite as that of a root is
    deviation = (z - mean).norm(dim=1, keepdim=True) / n**0.5
    deviation = deviation.clamp_min(_LEAST_DEVIATION)
    projected = ((z - mean) / deviation.detach()) @ directions.to(z.dtype)
    places = torch.arange(1, n + 1, dtype=z.dtype, device=z.device) / (n + 1)
    quantiles = torch.special.ndtri(places)[:, None]
    return torch.stack(
        [
            (deviation - 1).square().mean(),
            (projected.sort(dim=1).values - quantiles).square().mean(),
            mean.square().mean(),
        ]
    )


def _weighted(
    invariance: torch.Tensor,
    terms: torch.Tensor,
    lambd: float,
    weights: tuple[float, float, float],
) -> torch.Tensor:
    # not a product with a tensor of weights, whose copy to a GPU would be waited for
    regularizer = sum(weight * term for weight, term in zip(weights, terms, strict=True))
    return (1 - lambd) * invariance + lambd * regularizer


def _check_options(lambd: float, scale: float, shape: float, center: float) -> None:
    if not 0 <= lambd <= 1:
        raise ValueError(f"lambd: expected a number from 0 to 1, got {lambd}")
    check_at_least(0, scale=scale, shape=shape, center=center)


@dataclass(frozen=True, kw_only=True)
class VISRegConfig:
    """Options of VISReg.

    Attributes:
        projector: a head (`_heads.build_head`); None: 4 dim - 4 dim - max(16, dim / 3): the
            authors' 2048-2048-256 on a ViT-B of width 768 ends in a third of it.
        lambd: share of the regularizer, 0 to 1; the authors have .9 on ImageNet and .6 on the
            10,000 images of Imagenette.
        scale, shape, center: weights of the terms of the regularizer, >= 0.
        directions: number that the shape term draws at each step, > 0 (the authors have 4096 in
            their trainings, on each GPU its own, and 256 as the default of their class).
    """

    name: ClassVar[str] = "visreg"
    projector: str | int | None = None
    lambd: float = 0.9
    scale: float = 1.0
    shape: float = 1.0
    center: float = 1.0
    directions: int = 256

    def build(self, dim: int) -> VISReg:
        """The objective for representations of width `dim`."""
        return VISReg(self, dim)


class VISReg(DirectionalObjective):
    """Projector, agreement with the mean of the global views, and the regularizer of every view.

    The statistics are those of the batch of all processes. The directions are drawn from
    (seed, step), the same on all processes and after a restart; the authors' processes draw
    different ones.

    Parts: `invariance`, `scale`, `shape`, `center`, each without its weight.
    """

    def __init__(self, config: VISRegConfig, dim: int) -> None:
        _check_options(config.lambd, config.scale, config.shape, config.center)
        super().__init__(config.projector, dim, directions=config.directions, narrowing=3)
        self.config = config

    def compute_loss(self, batch: Representations) -> Terms:
        """VISReg's loss of representations [views, batch, dim]."""
        z = gather_batch(apply_to_views(self.projector, batch.student))
        c = self.config
        invariance = distance_to_global_mean(z, batch.n_global)
        terms = _distribution_terms(z, self.directions)
        total = _weighted(invariance, terms, c.lambd, (c.scale, c.shape, c.center))
        scale, shape, center = terms.detach()
        parts = {"scale": scale, "shape": shape, "center": center}
        return Terms(total, {"invariance": invariance.detach(), **parts})
