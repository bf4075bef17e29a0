"""MoCo, third version: pick a slow teacher's key of one's own image among those of the batch.

Chen, Xie, He, An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021,
equation 1 and algorithm 1. There is no queue of keys (that was MoCo's first and second version).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_positive, check_same_shape, check_same_width
from jessl.objectives._heads import apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import gather_batch, ordered_pairs

__all__ = ["MoCo", "MoCoConfig", "moco"]


@full_precision
def moco(q: torch.Tensor, k: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE of queries against keys, times 2 temperature.

    Convention: one direction; queries and keys are L2-normalised and keys detached here; each
    query is classified among the keys of the whole batch, its own image's among them, and the
    mean over queries is multiplied by 2 temperature as in the authors' code (their algorithm 1),
    so that the size of the gradient hardly depends on the temperature. There the two directions
    are summed, in the class below they are averaged.

    Example:
        moco(torch.randn(256, 128), torch.randn(256, 128), temperature=0.2)

    Args:
        q: queries [batch, dim] of one view.
        k: keys [batch, dim] of another view, row i of the same image as row i of q.
        temperature: > 0.

    Raises:
        ValueError: for unequal shapes or a temperature that is not positive.
    """
    check_same_shape(q=q, k=k)
    check_positive(temperature=temperature)
    logits = F.normalize(q, dim=1) @ F.normalize(k.detach(), dim=1).T / temperature
    own = torch.arange(len(q), device=q.device)
    return 2 * temperature * F.cross_entropy(logits, own)


@dataclass(frozen=True, kw_only=True)
class MoCoConfig:
    """Options of MoCo.

    Attributes:
        projector: a head (`_heads.build_head`); None: 2 dim - 2 dim - max(64, dim / 8),
            4096-4096-256 on a ResNet-50 (the authors' widths; they have three layers on a ViT and
            two on a ResNet). Batch norm follows the last layer; in the authors' code that one
            has no affine map, here it has. The teacher's is its slow copy.
        predictor: a head of the student alone; None: 2 dim - width of the projector, batch norm
            after it likewise. It must end in the projector's width.
        temperature: of the softmax, > 0; the authors' is .2 on a ViT and 1 on a ResNet-50.
    """

    name: ClassVar[str] = "moco"
    projector: str | int | None = None
    predictor: str | int | None = None
    temperature: float = 0.2

    def build(self, dim: int) -> MoCo:
        """The objective for representations of width `dim`."""
        return MoCo(self, dim)


class MoCo(Objective):
    """Projector, its slow copy that makes the keys, and predictor that makes the queries.

    Symmetric: the mean over ordered pairs of unlike views, the key's a global one (the authors
    sum the two directions of their two views: twice this). Negatives are the other images' keys
    of the whole batch of all processes.
    """

    uses_teacher = True

    def __init__(self, config: MoCoConfig, dim: int) -> None:
        super().__init__()
        check_positive(temperature=config.temperature)
        self.config = config
        widths = f"{2 * dim}-{2 * dim}-{max(64, dim // 8)}"
        self.projector = build_head(config.projector, dim, widths, last_norm=True)
        out = self.projector.out
        self.predictor = build_head(config.predictor, out, f"{2 * dim}-{out}", last_norm=True)
        check_same_width("predictor of moco", self.predictor, self.projector)
        self.teacher_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: the student's projector, before the predictor."""
        return self.projector(representations)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The projector and its slow copy."""
        return [(self.projector, self.teacher_projector)]

    def compute_loss(self, batch: Representations) -> Terms:
        """MoCo's loss of representations [views, batch, dim] of student and teacher."""
        teacher = batch.require_teacher()
        p = apply_to_views(self.predictor, apply_to_views(self.projector, batch.student))
        q = gather_batch(p)
        with torch.no_grad():
            k = gather_batch(apply_to_views(self.teacher_projector, teacher))
        pairs = ordered_pairs(len(q), len(k))
        losses = [moco(q[i], k[j], self.config.temperature) for i, j in pairs]
        return Terms(torch.stack(losses).mean(), {})
