"""Barlow Twins: the cross-correlation of two views is made the identity.

Zbontar, Jing, Misra, LeCun, Deny, Barlow Twins: Self-Supervised Learning via Redundancy
Reduction, ICML 2021, equations 1 and 2 and the authors' published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_at_least, check_rows, check_same_shape
from jessl.objectives._heads import apply_to_views, build_head, expander_widths
from jessl.objectives._precision import full_precision
from jessl.objectives._views import gather_batch, mean_over_pairs

__all__ = ["BarlowTwins", "BarlowTwinsConfig", "barlow_twins"]

# added to the variance under the root (batch norm's default, as in the authors' code)
_EPS = 1e-5


@full_precision
def barlow_twins(z1: torch.Tensor, z2: torch.Tensor, lambd: float = 5e-3) -> torch.Tensor:
    """Squared distance of the cross-correlation from the identity.

    sum over i of (C_ii - 1)^2 + lambd sum over i != j of C_ij^2, with C [dim, dim] the
    cross-correlation of the two views.

    Convention (the authors' code before its overall factor): each dimension is standardised over
    the batch with the biased variance; the sum of (C_ii - 1)^2 plus `lambd` times the sum of
    C_ij^2. lightly agrees; solo-learn multiplies by .025 by default; stable-pretraining takes
    the unbiased deviation (+14 to +41 % on the same input).

    Example:
        barlow_twins(torch.randn(256, 512), torch.randn(256, 512))

    Args:
        z1, z2: [batch, dim], batch >= 2; row i of both is the same image.
        lambd: weight of the off-diagonal part, >= 0.

    Raises:
        ValueError: for unequal shapes or fewer than 2 rows.
    """
    check_same_shape(z1=z1, z2=z2)
    check_rows(2, "to standardise", z1)
    correlation = _standardised(z1).T @ _standardised(z2) / len(z1)
    diagonal = correlation.diagonal()
    on = (diagonal - 1).pow(2).sum()
    off = correlation.pow(2).sum() - diagonal.pow(2).sum()
    return on + lambd * off


def _standardised(z: torch.Tensor) -> torch.Tensor:
    return (z - z.mean(dim=0)) / torch.sqrt(z.var(dim=0, correction=0) + _EPS)


@dataclass(frozen=True, kw_only=True)
class BarlowTwinsConfig:
    """Options of Barlow Twins.

    Attributes:
        projector: a head (`_heads.build_head`); None: 4 dim - 4 dim - dim.
        lambd: weight of the redundancy reduction, >= 0.
    """

    name: ClassVar[str] = "barlow_twins"
    projector: str | int | None = None
    lambd: float = 5e-3

    def build(self, dim: int) -> BarlowTwins:
        """The objective for representations of width `dim`."""
        return BarlowTwins(self, dim)


class BarlowTwins(Objective):
    """Projector and Barlow Twins' loss.

    With k views the mean over unordered pairs of views of which one at least is global.
    """

    raises_rank = True

    def __init__(self, config: BarlowTwinsConfig, dim: int) -> None:
        super().__init__()
        check_at_least(0, lambd=config.lambd)
        self.config = config
        self.projector = build_head(config.projector, dim, expander_widths(dim))

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """Barlow Twins' loss of representations [views, batch, dim]."""
        z = gather_batch(apply_to_views(self.projector, batch.student))
        lambd = self.config.lambd
        total = mean_over_pairs(lambda a, b: barlow_twins(a, b, lambd), z, batch.n_global)
        return Terms(total, {})
