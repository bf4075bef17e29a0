"""VICReg: variance, invariance, covariance.

Bardes, Ponce, LeCun, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
Learning, ICLR 2022, equations 1 to 6 and the authors' published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_at_least, check_rows, check_same_shape
from jessl.objectives._heads import apply_to_views, build_head, expander_widths
from jessl.objectives._precision import full_precision
from jessl.objectives._views import gather_batch, unordered_pairs

__all__ = ["VICReg", "VICRegConfig", "vicreg"]

# added to the variance under the root (authors' code)
_EPS = 1e-4


@full_precision
def vicreg(
    z1: torch.Tensor, z2: torch.Tensor, inv: float = 25.0, var: float = 25.0, cov: float = 1.0
) -> torch.Tensor:
    """Weighted sum of the three terms of `vicreg_terms`.

    inv MSE(z1, z2) + var (h(z1) + h(z2)) / 2 + cov (c(z1) + c(z2)), where h(z) is the mean over
    dimensions of max(0, 1 - sqrt(Var z + 1e-4)), and c(z) the sum of the squared off-diagonal
    covariances over dim.

    Convention (the authors' code): the invariance is a mean over batch and dimensions; the
    variance term is the mean of the two views' hinges (halved); the covariance term is the sum
    of the two views' sums of squared off-diagonal covariances, each over dim. lightly,
    stable-pretraining and FFCV-SSL agree; solo-learn does not halve the variance term: its 25
    is 50 here.

    Example:
        vicreg(torch.randn(256, 512), torch.randn(256, 512), cov=4.0)

    Args:
        z1, z2: [batch, dim], batch >= 2; row i of both is the same image.
        inv, var, cov: weights, >= 0.

    Raises:
        ValueError: for unequal shapes or fewer than 2 rows.
    """
    invariance, variance, covariance = vicreg_terms(z1, z2)
    return inv * invariance + var * variance + cov * covariance


def vicreg_terms(
    z1: torch.Tensor, z2: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Invariance, variance and covariance terms of two views [batch, dim], unweighted."""
    check_same_shape(z1=z1, z2=z2)
    check_rows(2, "for a variance", z1)
    invariance = F.mse_loss(z1, z2)
    variance = (_hinge(z1) + _hinge(z2)) / 2
    covariance = _off_diagonal(z1) + _off_diagonal(z2)
    return invariance, variance, covariance


def _hinge(z: torch.Tensor) -> torch.Tensor:
    return F.relu(1 - torch.sqrt(z.var(dim=0) + _EPS)).mean()


def _off_diagonal(z: torch.Tensor) -> torch.Tensor:
    n, d = z.shape
    z = z - z.mean(dim=0)
    squared = (z.T @ z / (n - 1)).pow(2)
    return (squared.sum() - squared.diagonal().sum()) / d


@dataclass(frozen=True, kw_only=True)
class VICRegConfig:
    """Options of VICReg.

    Attributes:
        projector: a head (`_heads.build_head`); None: 4 dim - 4 dim - dim.
        inv, var, cov: weights of invariance, variance and covariance, >= 0.
    """

    name: ClassVar[str] = "vicreg"
    projector: str | int | None = None
    inv: float = 25.0
    var: float = 25.0
    cov: float = 1.0

    def build(self, dim: int) -> VICReg:
        """The objective for representations of width `dim`."""
        return VICReg(self, dim)


class VICReg(Objective):
    """Projector and VICReg's loss.

    With k views the mean over unordered pairs of views of which one at least is global.
    """

    raises_rank = True

    def __init__(self, config: VICRegConfig, dim: int) -> None:
        super().__init__()
        check_at_least(0, inv=config.inv, var=config.var, cov=config.cov)
        self.config = config
        self.projector = build_head(config.projector, dim, expander_widths(dim))

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """VICReg of representations [views, batch, dim]; parts are unweighted."""
        z = gather_batch(apply_to_views(self.projector, batch.student))
        pairs = [_terms(z[i], z[j]) for i, j in unordered_pairs(len(z), batch.n_global)]
        invariance, variance, covariance = torch.stack(pairs).mean(dim=0)
        c = self.config
        total = c.inv * invariance + c.var * variance + c.cov * covariance
        parts = {"invariance": invariance, "variance": variance, "covariance": covariance}
        return Terms(total, {k: v.detach() for k, v in parts.items()})


@full_precision
def _terms(z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    return torch.stack(vicreg_terms(z1, z2))
