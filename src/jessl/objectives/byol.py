"""BYOL: predict a slow teacher's projection of another view.

Grill et al., Bootstrap Your Own Latent, NeurIPS 2020, equations 2 and 3.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_same_shape, check_same_width
from jessl.objectives._heads import apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import ordered_pairs

__all__ = ["BYOL", "BYOLConfig", "byol"]


@full_precision
def byol(p: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Squared distance of L2-normalised prediction and target: 2 - 2 cos, mean over the batch.

    Convention: one direction; the target is detached here. FFCV-SSL returns the sum of both
    directions; SimSiam's negative cosine is this, less 2, halved.

    Example:
        byol(torch.randn(256, 128), torch.randn(256, 128))

    Args:
        p: predictions [batch, dim] of one view.
        z: targets [batch, dim] of another view of the same images.

    Raises:
        ValueError: for unequal shapes.
    """
    check_same_shape(p=p, z=z)
    return 2 - 2 * F.cosine_similarity(p, z.detach(), dim=1).mean()


@dataclass(frozen=True, kw_only=True)
class BYOLConfig:
    """Options of BYOL.

    Attributes:
        projector: a head (`_heads.build_head`); None: 2 dim - max(64, dim / 8), the
            paper's 4096-256 on a ResNet-50, to scale. The teacher's is its slow copy.
        predictor: a head of the student alone; None: 2 dim - width of the projector.
    """

    name: ClassVar[str] = "byol"
    projector: str | int | None = None
    predictor: str | int | None = None

    def build(self, dim: int) -> BYOL:
        """The objective for representations of width `dim`."""
        return BYOL(self, dim)


class BYOL(Objective):
    """Projector, its slow copy, and predictor.

    Symmetric: the mean over ordered pairs of unlike views, the teacher's a global one.
    """

    uses_teacher = True
    prevents_collapse = False

    def __init__(self, config: BYOLConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        widths = f"{2 * dim}-{max(64, dim // 8)}"
        self.projector = build_head(config.projector, dim, widths, last_bias=True)
        out = self.projector.out
        self.predictor = build_head(config.predictor, out, f"{2 * dim}-{out}", last_bias=True)
        check_same_width("predictor of byol", self.predictor, self.projector)
        self.teacher_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: the student's projector, before the predictor."""
        return self.projector(representations)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The projector and its slow copy."""
        return [(self.projector, self.teacher_projector)]

    def compute_loss(self, batch: Representations) -> Terms:
        """BYOL's loss of representations [views, batch, dim] of student and teacher."""
        teacher = batch.require_teacher()
        p = apply_to_views(self.predictor, apply_to_views(self.projector, batch.student))
        with torch.no_grad():
            target = apply_to_views(self.teacher_projector, teacher)
        pairs = [byol(p[i], target[j]) for i, j in ordered_pairs(len(p), len(target))]
        return Terms(torch.stack(pairs).mean(), {})
