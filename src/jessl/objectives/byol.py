"""BYOL: predict a slow teacher's projection of another view.

Grill et al., Bootstrap Your Own Latent, NeurIPS 2020, equations 2 and 3.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.objectives.base import Objective, Terms, full_precision, mlp, same_shape, widths_of

__all__ = ["BYOL", "BYOLConfig", "byol"]


@full_precision
def byol(p: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Squared distance of L2-normalised prediction and target: 2 - 2 cos, mean over the batch.

    Convention: one direction; the target is detached here. FFCV-SSL returns the sum of both
    directions; SimSiam's negative cosine is this, less 2, halved.

    Args:
        p: predictions [batch, dim] of one view.
        z: targets [batch, dim] of another view of the same images.

    Raises:
        ValueError: for unequal shapes.
    """
    same_shape(p=p, z=z)
    return 2 - 2 * F.cosine_similarity(p, z.detach(), dim=1).mean()


@dataclass(frozen=True, kw_only=True)
class BYOLConfig:
    """Options of BYOL.

    Attributes:
        projector: widths of the projector; None: 2 dim - max(64, dim / 8), the paper's 4096-256
            on a ResNet-50, to scale.
        predictor_hidden: width of the predictor's hidden layer; None: 2 dim.
    """

    name: ClassVar[str] = "byol"
    projector: str | None = None
    predictor_hidden: int | None = None

    def build(self, dim: int) -> BYOL:
        """The objective for representations of width `dim`."""
        return BYOL(self, dim)


class BYOL(Objective):
    """Projector, its slow copy, and predictor; symmetric: the mean over ordered pairs of views."""

    uses_teacher = True
    prevents_collapse = False

    def __init__(self, config: BYOLConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        widths = config.projector or f"{2 * dim}-{max(64, dim // 8)}"
        out = widths_of(widths)[-1]
        hidden = 2 * dim if config.predictor_hidden is None else config.predictor_hidden
        self.projector = mlp(widths, dim, last_bias=True)
        self.predictor = mlp(f"{hidden}-{out}", out, last_bias=True)
        self.teacher_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: the student's projector, before the predictor."""
        return self.projector(representations)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The projector and its slow copy."""
        return [(self.projector, self.teacher_projector)]

    def loss(self, student: torch.Tensor, teacher: torch.Tensor | None = None) -> Terms:
        """BYOL's loss of representations [views, batch, dim] of student and teacher."""
        if teacher is None:
            raise ValueError("byol needs the teacher's representations, got none")
        views, batch, _ = student.shape
        z = self.project_views(student)
        p = self.predictor(z.reshape(views * batch, -1)).reshape(views, batch, -1)
        with torch.no_grad():
            flat = teacher.reshape(len(teacher) * batch, -1)
            target = self.teacher_projector(flat).reshape(len(teacher), batch, -1)
        pairs = [
            byol(p[i], target[j])
            for i, j in itertools.product(range(views), range(len(teacher)))
            if i != j
        ]
        return Terms(torch.stack(pairs).mean(), {})
