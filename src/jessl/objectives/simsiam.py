"""SimSiam: predict the projection of another view, with a stopped gradient on the target.

Chen, He, Exploring Simple Siamese Representation Learning, CVPR 2021, equations 1 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_same_shape, check_same_width
from jessl.objectives._heads import apply_by_crop, apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import ordered_pairs

__all__ = ["SimSiam", "SimSiamConfig", "negative_cosine"]


@full_precision
def negative_cosine(p: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Minus the cosine of prediction and target, mean over the batch; in [-1, 1].

    Convention: one direction; the target is detached here, as in solo-learn (lightly and
    stable-pretraining leave that to the caller). BYOL's loss is 2 + 2 times this: its gradient
    is twice as long.

    Example:
        negative_cosine(torch.randn(256, 128), torch.randn(256, 128))

    Args:
        p: predictions [batch, dim] of one view.
        z: targets [batch, dim] of another view of the same images.

    Raises:
        ValueError: for unequal shapes.
    """
    check_same_shape(p=p, z=z)
    return -F.cosine_similarity(p, z.detach(), dim=1).mean()


@dataclass(frozen=True, kw_only=True)
class SimSiamConfig:
    """Options of SimSiam.

    Attributes:
        projector: a head (`_heads.build_head`); None: dim - dim - dim, the paper's
            2048-2048-2048 on a ResNet-50, to scale. Batch norm follows its last layer; the
            authors' code has no affine map in that one, here it has.
        predictor: a head; None: a bottleneck, out / 4 - out for a projector of width out (the
            paper's 512-2048). It must end in out.
    """

    name: ClassVar[str] = "simsiam"
    projector: str | int | None = None
    predictor: str | int | None = None

    def build(self, dim: int) -> SimSiam:
        """The objective for representations of width `dim`."""
        return SimSiam(self, dim)


class SimSiam(Objective):
    """Projector and predictor; targets are the student's own projections, detached.

    Symmetric: the mean over ordered pairs of unlike views, the target's a global one (the
    paper's two views: half the sum of both directions). The projector sees global and local
    views apart (`apply_by_crop`); the paper has global views only.
    """

    prevents_collapse = False

    def __init__(self, config: SimSiamConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.projector = build_head(config.projector, dim, f"{dim}-{dim}-{dim}", last_norm=True)
        out = self.projector.out
        widths = f"{max(1, out // 4)}-{out}"
        self.predictor = build_head(config.predictor, out, widths, last_bias=True)
        check_same_width("predictor of simsiam", self.predictor, self.projector)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: the projector, before the predictor."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """SimSiam's loss of representations [views, batch, dim]."""
        z = apply_by_crop(self.projector, batch.student, batch.n_global)
        p = apply_to_views(self.predictor, z)
        pairs = [negative_cosine(p[i], z[j]) for i, j in ordered_pairs(len(p), batch.n_global)]
        return Terms(torch.stack(pairs).mean(), {})
