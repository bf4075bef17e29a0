"""DINO: match a view's distribution over prototypes to a slow, sharpened teacher's of another.

Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021, equations 1
to 4, algorithm 1 and the authors' published code.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.core import collectives
from jessl.objectives._base import Objective, Representations, Terms, TrainingPosition
from jessl.objectives._checks import (
    check_at_least,
    check_positive,
    check_same_width,
    check_view_stacks,
)
from jessl.objectives._heads import Prototypes, apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import mean_cross_entropy

__all__ = ["DINO", "DINOConfig", "dino"]


@full_precision
def dino(
    student: torch.Tensor,
    teacher: torch.Tensor,
    center: torch.Tensor | float,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> torch.Tensor:
    """Cross-entropy of the student's softmax against the teacher's, of unlike views.

    Convention: the teacher's distribution softmax((teacher - center) / teacher_temperature) is
    detached here; the mean over the batch and over all pairs (student view, teacher view) of
    unlike views is returned. The authors, lightly and solo-learn agree, and stable-pretraining
    where it centres; its teacher by Sinkhorn gives another value.

    Example:
        dino(torch.randn(8, 64, 1024), torch.randn(2, 64, 1024), center=0.0)

    Args:
        student: logits [views, batch, prototypes] before temperature.
        teacher: logits [global views, batch, prototypes] before temperature, of the first views.
        center: [prototypes], or a number.
        student_temperature, teacher_temperature: > 0.

    Raises:
        ValueError: for stacks of unlike images, fewer than two views, or a temperature that is
            not positive.
    """
    check_view_stacks(student, teacher)
    check_positive(student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    targets = _targets(teacher, center, teacher_temperature)
    return mean_cross_entropy(targets, student / student_temperature)


def _targets(
    teacher: torch.Tensor, center: torch.Tensor | float, temperature: float
) -> torch.Tensor:
    return F.softmax((teacher.detach() - center) / temperature, dim=-1)


@dataclass(frozen=True, kw_only=True)
class DINOConfig:
    """Options of DINO.

    Attributes:
        projector: a head (`_heads.build_head`) up to the bottleneck, where RankMe is
            taken; None: 2 dim - 2 dim - max(64, dim / 8). The authors have 2048-2048-256 for
            ViT-S (5.3 dim) as for ResNet-50 (1 dim), with GELU and without batch norm; here heads
            have ReLU and batch norm.
        predictor: a head of the student alone, after its bottleneck, of the same width; the
            paper has none ("identity").
        prototypes: >= 2. The paper has 65536 on ImageNet; 1024 is for small data (Dubois et al.,
            NeurIPS 2022, have 1000 on TinyImageNet).
        student_temperature: > 0.
        teacher_temperature: > 0, after the warm-up. On ImageNet the authors' longer trainings go
            to .07.
        warmup_teacher_temperature: > 0, in the first epoch of the warm-up.
        warmup_teacher_epochs: epochs of the warm-up; the temperature is constant within an epoch
            and rises by equal steps between epochs; 0: none. The paper: 30.
        center_momentum: in [0, 1), of the centre's moving average.
        freeze_epochs: >= 0; for that long the student's prototypes do not change.
    """

    name: ClassVar[str] = "dino"
    projector: str | int | None = None
    predictor: str | int | None = "identity"
    prototypes: int = 1024
    student_temperature: float = 0.1
    teacher_temperature: float = 0.04
    warmup_teacher_temperature: float = 0.04
    warmup_teacher_epochs: int = 0
    center_momentum: float = 0.9
    freeze_epochs: float = 1.0

    def __post_init__(self) -> None:
        check_positive(
            student_temperature=self.student_temperature,
            teacher_temperature=self.teacher_temperature,
            warmup_teacher_temperature=self.warmup_teacher_temperature,
        )
        check_at_least(
            0, warmup_teacher_epochs=self.warmup_teacher_epochs, freeze_epochs=self.freeze_epochs
        )
        if not 0 <= self.center_momentum < 1:
            raise ValueError(
                f"center_momentum: expected a number in [0, 1), got {self.center_momentum}"
            )

    def build(self, dim: int) -> DINO:
        """The objective for representations of width `dim`."""
        return DINO(self, dim)


class DINO(Objective):
    """Projector to a bottleneck and prototypes, the slow copies of both, and the centre.

    Bottleneck and prototypes are L2-normalised, so logits are cosines. The centre is the moving
    average of the teacher's mean logits over global views and the whole batch of all processes;
    in training mode it is updated after each loss.

    Parts: `teacher_entropy`, the mean entropy of the teacher's distributions, in nats, and `kl`,
    the loss less that entropy. A `kl` that falls to 0 is a collapse (the output no longer depends
    on the image); the entropy shows its kind: at 0 all images have one prototype, at
    log(prototypes) each image has all of them equally (the paper's figure 7).

    Before the first `begin_step` all warm-ups count as over.
    """

    uses_teacher = True
    prevents_collapse = False

    def __init__(self, config: DINOConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        widths = f"{2 * dim}-{2 * dim}-{max(64, dim // 8)}"
        self.projector = build_head(config.projector, dim, widths, last_bias=True)
        out = self.projector.out
        self.predictor = build_head(config.predictor, out, f"{2 * dim}-{out}", last_bias=True)
        check_same_width("predictor of dino", self.predictor, self.projector)
        self.prototypes = Prototypes(out, config.prototypes)
        self.teacher_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.teacher_prototypes = copy.deepcopy(self.prototypes).requires_grad_(False)
        self.center: torch.Tensor
        self.register_buffer("center", torch.zeros(config.prototypes))
        self._teacher_temperature = config.teacher_temperature
        self._frozen = False

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: the student's bottleneck, not normalised, before prototypes."""
        return self.projector(representations)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Projector and prototypes and their slow copies."""
        return [
            (self.projector, self.teacher_projector),
            (self.prototypes, self.teacher_prototypes),
        ]

    def begin_step(self, position: TrainingPosition) -> None:
        """Set the teacher's temperature of this epoch, and whether the prototypes are frozen."""
        c = self.config
        self._frozen = position.epoch < c.freeze_epochs
        self._teacher_temperature = c.teacher_temperature
        if position.epoch < c.warmup_teacher_epochs:
            rise = c.teacher_temperature - c.warmup_teacher_temperature
            share = int(position.epoch) / max(1, c.warmup_teacher_epochs - 1)
            self._teacher_temperature = c.warmup_teacher_temperature + rise * share

    def after_backward(self) -> None:
        """Discard the gradient of frozen prototypes."""
        if self._frozen:
            self.prototypes.weight.grad = None

    def compute_loss(self, batch: Representations) -> Terms:
        """DINO's loss of representations [views, batch, dim] of student and teacher."""
        teacher = batch.require_teacher()
        p = apply_to_views(self.predictor, apply_to_views(self.projector, batch.student))
        scores = self.prototypes(p)
        with torch.no_grad():
            slow = self.teacher_prototypes(apply_to_views(self.teacher_projector, teacher))
        temperatures = (self.config.student_temperature, self._teacher_temperature)
        total = dino(scores, slow, self.center, *temperatures)
        entropy = _entropy(slow, self.center, self._teacher_temperature)
        if self.training:
            self._update_center(slow)
        return Terms(total, {"teacher_entropy": entropy, "kl": total.detach() - entropy})

    @torch.no_grad()
    def _update_center(self, slow: torch.Tensor) -> None:
        """Move the centre towards the mean of logits [global views, batch, prototypes]."""
        mean = collectives.all_reduce_mean(slow.mean(dim=(0, 1)))
        self.center.lerp_(mean.to(self.center.dtype), 1 - self.config.center_momentum)


@full_precision
def _entropy(teacher: torch.Tensor, center: torch.Tensor, temperature: float) -> torch.Tensor:
    return torch.special.entr(_targets(teacher, center, temperature)).sum(dim=-1).mean()
