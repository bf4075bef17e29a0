"""Distillation: learn the features that a published, frozen teacher has of the same image.

By the cosine of predicted and actual features, or by the distances between images: Park, Kim, Lu,
Cho, Relational Knowledge Distillation, CVPR 2019 (arXiv 1904.05068), the distance-wise loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.core.validation import check_choice
from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_at_least, check_rows
from jessl.objectives._heads import apply_to_views, build_head, expander_widths
from jessl.objectives._precision import full_precision, raise_half
from jessl.objectives._views import gather_batch

__all__ = ["Distill", "DistillConfig", "feature_cosine", "relational_distance"]

_VARIANTS = ("cosine", "relational")
# least squared distance of two rows (authors' code of the relational loss)
_LEAST_SQUARE = 1e-12


@full_precision
def feature_cosine(p: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """1 - cosine of predictions and features of a teacher, mean over the batch.

    Convention: targets are detached here and used as they are; a training hands over features
    from which the mean over its images is subtracted. torch.nn.CosineEmbeddingLoss agrees.

    Example:
        feature_cosine(torch.randn(256, 512), torch.randn(256, 512))

    Args:
        p: predictions [batch, width].
        targets: features of the same images [batch, width].

    Raises:
        ValueError: for unequal shapes.
    """
    _check_pair(p, targets, same_width=True)
    return 1 - F.cosine_similarity(p, targets.detach(), dim=1).mean()


@full_precision
def relational_distance(z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Huber loss of the relative distances between rows, against those between the targets.

    The Euclidean distances between all rows are divided by their mean over unlike rows.

    Convention (the authors' published code): threshold 1; mean over all pairs, those of a row with
    itself, which are 0, among them; targets are detached here. The authors add an angle-wise loss,
    whose memory grows with batch^3; it is not here.

    Example:
        relational_distance(torch.randn(256, 64), torch.randn(256, 512))

    Args:
        z: embeddings [batch, dim], at least 2 rows.
        targets: features of the same images [batch, width], of any width.

    Raises:
        ValueError: for unequal batches, or fewer than 2 rows.
    """
    _check_pair(z, targets, same_width=False)
    check_rows(2, "to have distances", z)
    return F.smooth_l1_loss(_relative_distances(z), _relative_distances(targets.detach()))


def _relative_distances(z: torch.Tensor) -> torch.Tensor:
    n = len(z)
    length = z.square().sum(dim=1)
    squares = (length[:, None] + length - 2 * z @ z.T).clamp_min(_LEAST_SQUARE)
    distances = squares.sqrt() * (1 - torch.eye(n, dtype=z.dtype, device=z.device))
    return distances / (distances.sum() / (n * (n - 1)))


def _check_pair(z: torch.Tensor, targets: torch.Tensor, *, same_width: bool) -> None:
    same = z.shape == targets.shape if same_width else z.shape[:1] == targets.shape[:1]
    if z.ndim != 2 or targets.ndim != 2 or not same:
        width = "width" if same_width else "any width"
        raise ValueError(
            f"targets: expected features [batch, {width}] for {list(z.shape)}, "
            f"got {list(targets.shape)}"
        )


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Options of distillation.

    Attributes:
        variant: "cosine": a linear layer predicts the teacher's features; "relational": distances
            between images are those between the teacher's features, and there is no such layer.
        projector: a head (`_heads.build_head`) before the loss; "identity": the representation
            itself is compared; "mlp": 4 dim - 4 dim - dim.
        teacher_dim: width of the teacher's features, >= 1; a training sets it from the teacher.
    """

    name: ClassVar[str] = "distill"
    variant: str = "cosine"
    projector: str | int = "identity"
    teacher_dim: int = 512

    def build(self, dim: int) -> Distill:
        """The objective for representations of width `dim`."""
        return Distill(self, dim)


class Distill(Objective):
    """Projector, and by variant a linear layer to the teacher's width.

    The target of every view, global or local, is the teacher's feature of the plain image: it is
    the same in every epoch. Cosine: the mean over views and images. Relational: the distances in
    the batch of all processes, each view by itself, then the mean over views.

    Parts: `target_cosine` (cosine), the mean cosine of predictions and features.
    """

    least_views = 1

    def __init__(self, config: DistillConfig, dim: int) -> None:
        super().__init__()
        check_choice("variant of distill", config.variant, _VARIANTS)
        check_at_least(1, teacher_dim=config.teacher_dim)
        self.config = config
        self.target_dim = config.teacher_dim
        self.projector = build_head(config.projector, dim, expander_widths(dim))
        self.predictor: nn.Module | None = None
        if config.variant == "cosine":
            self.predictor = nn.Linear(self.projector.out, config.teacher_dim)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: before the linear layer."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """Distance of representations [views, batch, dim] to the targets [batch, teacher_dim]."""
        targets = batch.require_targets(self.target_dim)
        z = apply_to_views(self.projector, batch.student)
        if self.predictor is not None:
            p = apply_to_views(self.predictor, z)
            total = torch.stack([feature_cosine(view, targets) for view in p]).mean()
            return Terms(total, {"target_cosine": 1 - total.detach()})
        rows, fixed = gather_batch(z), gather_batch(raise_half(targets)[None])[0]
        return Terms(torch.stack([relational_distance(view, fixed) for view in rows]).mean(), {})
