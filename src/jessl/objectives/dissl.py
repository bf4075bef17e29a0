"""DISSL: an expressive teacher head assigns classes, a linear student head learns them.

Dubois, Hashimoto, Ermon, Liang, Improving Self-Supervised Learning by Characterizing Idealized
Representations, NeurIPS 2022 (DISSL), and the authors' published code.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.core import collectives
from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_at_least, check_positive, check_view_stacks
from jessl.objectives._heads import Head, apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import ordered_pairs

__all__ = ["DISSL", "DISSLConfig", "dissl"]


def dissl(
    student: torch.Tensor,
    teacher: torch.Tensor,
    lambd: float = 2.3,
    beta: float = 0.8,
    student_temperature: float = 1.0,
    teacher_temperature: float = 0.5,
) -> torch.Tensor:
    """Distillation, determinism with invariance, and maximality of a soft assignment to classes.

    With p_v = softmax(teacher_v / teacher_temperature), q_w = softmax(student_w /
    student_temperature), CE(p, q) = - sum p log q, mean over the batch, and H the entropy:
    mean CE(p_v, q_w) + beta mean CE(p_v, p_w) - lambd mean H(p_v's mean over the batch); the
    first two means are over ordered pairs of unlike views. Natural logarithms.

    Convention (the authors' code): the teacher is not detached and is not a moving average; the
    mean over the batch is over all processes before the entropy is taken, while the first two
    terms are of this process's images.

    Example:
        dissl(torch.randn(2, 256, 1000), torch.randn(2, 256, 1000))

    Args:
        student: logits [views, batch, classes] before the temperature.
        teacher: likewise [global views, batch, classes], of the first so many views; at least 2.
        lambd, beta: weights, >= 0; collapse beats a uniform assignment when lambd < 1 + beta.
        student_temperature, teacher_temperature: > 0.

    Raises:
        ValueError: for other shapes or numbers out of range.
    """
    return dissl_terms(
        student, teacher, lambd, beta, student_temperature, teacher_temperature
    ).total


def dissl_terms(
    student: torch.Tensor,
    teacher: torch.Tensor,
    lambd: float = 2.3,
    beta: float = 0.8,
    student_temperature: float = 1.0,
    teacher_temperature: float = 0.5,
) -> Terms:
    """`dissl` with its diagnostics: arguments and errors are the same.

    The parts, in nats, M the class and X the image of the batch: entropy H[M],
    conditional_entropy H[M|X], information I(M;X) = H[M] - H[M|X], kl_invariance and
    kl_distillation, the mean KL(p_v, p_w) and KL(p_v, q_w), and gap, the loss above
    `lower_bound`. They rebuild the loss: - (1 + beta) information - (lambd - 1 - beta) entropy +
    beta kl_invariance + kl_distillation.
    """
    _check_options(lambd, beta, student_temperature, teacher_temperature)
    check_view_stacks(student, teacher)
    if len(teacher) < 2:
        raise ValueError(f"teacher: expected at least 2 global views, got {len(teacher)}")
    means = _means(student, teacher, student_temperature, teacher_temperature)
    distillation, invariance, entropy, _ = means
    total = distillation + beta * invariance - lambd * entropy
    d, i, h, conditional = means.detach()
    images, classes = teacher.shape[1] * collectives.world(), teacher.shape[2]
    parts = {
        "entropy": h,
        "conditional_entropy": conditional,
        "information": h - conditional,
        "kl_invariance": i - conditional,
        "kl_distillation": d - conditional,
        "gap": total.detach() - lower_bound(images, classes, lambd, beta),
    }
    return Terms(total, parts)


def lower_bound(images: int, classes: int, lambd: float, beta: float) -> float:
    """The lowest value that the loss can take on a batch: with m = log min(images, classes),

    - (1 + beta) m - (lambd - 1 - beta) log classes where lambd >= 1 + beta, else - lambd m.

    Why: the divergences are not negative, I <= H, I <= log images and H <= log classes. Where
    lambd < 1 + beta the entropy costs, and I <= H turns the loss into - lambd I at least. Reached
    by blocks of classes / images classes an image (of images / classes images a class) when that
    is a whole number, and by a class for each image when lambd <= 1 + beta.

    Args:
        images: of the whole batch; classes: as many as logits.
        lambd, beta: weights, >= 0.
    """
    most = math.log(min(images, classes))
    return -min(lambd, 1 + beta) * most - max(lambd - 1 - beta, 0.0) * math.log(classes)


@full_precision
def _means(
    student: torch.Tensor,
    teacher: torch.Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> torch.Tensor:
    """[4]: CE(p_v, q_w), CE(p_v, p_w), H of the marginal, and H[M|X], detached."""
    log_p = F.log_softmax(teacher / teacher_temperature, dim=-1)
    log_q = F.log_softmax(student / student_temperature, dim=-1)
    p = log_p.exp()
    marginal = collectives.all_reduce_mean(p.mean(dim=1))
    # a class that no image has: 0 log 0 = 0, and a finite slope
    log_marginal = marginal.clamp_min(torch.finfo(marginal.dtype).tiny).log()
    entropy = -(marginal * log_marginal).sum(dim=-1).mean()
    conditional = -(p.detach() * log_p.detach()).sum(dim=-1).mean()
    return torch.stack([_cross_entropy(p, log_q), _cross_entropy(p, log_p), entropy, conditional])


def _cross_entropy(p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Mean over ordered pairs of unlike views (one of p, one of log_q), and over the batch."""
    pairs = ordered_pairs(len(log_q), len(p))
    return torch.stack([-(p[v] * log_q[w]).sum(dim=-1).mean() for w, v in pairs]).mean()


def _check_options(
    lambd: float, beta: float, student_temperature: float, teacher_temperature: float
) -> None:
    check_at_least(0, lambd=lambd, beta=beta)
    check_positive(student_temperature=student_temperature, teacher_temperature=teacher_temperature)


@dataclass(frozen=True, kw_only=True)
class DISSLConfig:
    """Options of DISSL.

    Attributes:
        projector: the teacher's head up to its bottleneck (`_heads.build_head`), which
            batch norm and the linear layer to the classes follow.
        student_head: likewise the student's, which should have the form of the intended probe:
            "linear" (to the 512 of the published bottleneck: of low rank), "mlp", a width or
            widths; "identity": the linear layer to the classes alone, of full rank.
        classes: C, > 1 (published 16384; stronger augmentations make fewer).
        lambd: weight of the entropy of the classes, >= 1 + beta in theory (tune 1.8 to 2.8).
        beta: weight of determinism and invariance, >= 0 (tune .4 to 1; .6 on ImageNet).
        student_temperature, teacher_temperature: > 0.
    """

    name: ClassVar[str] = "dissl"
    projector: str | int = "1024-512"
    student_head: str | int = "linear"
    classes: int = 16384
    lambd: float = 2.3
    beta: float = 0.8
    student_temperature: float = 1.0
    teacher_temperature: float = 0.5

    def build(self, dim: int) -> DISSL:
        """The objective for representations of width `dim`."""
        return DISSL(self, dim)


class DISSL(Objective):
    """The teacher's and the student's heads; no slow copy: one loss trains both.

    The student sees all views, the teacher the global ones. `project` is the teacher's bottleneck
    after its batch norm: RankMe is taken there, before the layer to the classes (prototypes).
    """

    def __init__(self, config: DISSLConfig, dim: int) -> None:
        super().__init__()
        _check_options(
            config.lambd, config.beta, config.student_temperature, config.teacher_temperature
        )
        check_at_least(2, classes=config.classes)
        if config.lambd < 1 + config.beta:
            warnings.warn(
                f"dissl: lambd {config.lambd:g} is less than 1 + beta = {1 + config.beta:g}: "
                "a collapsed representation has a lower loss than a uniform assignment",
                stacklevel=3,
            )
        self.config = config
        self.projector = build_head(config.projector, dim, "1024-512", last_norm=True)
        self.student = build_head(config.student_head, dim, "1024-512", last_norm=True)
        self.teacher_classes = _to_classes(self.projector, config.classes)
        self.student_classes = _to_classes(self.student, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, bottleneck of the teacher], after batch norm."""
        return self.projector(representations)

    def logits(
        self, representations: torch.Tensor, n_global: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Student's [views, batch, classes] and teacher's [n_global, batch, classes] logits."""
        return (
            apply_to_views(self.student_classes, apply_to_views(self.student, representations)),
            apply_to_views(
                self.teacher_classes, apply_to_views(self.projector, representations[:n_global])
            ),
        )

    def compute_loss(self, batch: Representations) -> Terms:
        """DISSL's loss of representations [views, batch, dim], and the parts of `dissl_terms`."""
        c = self.config
        s, t = self.logits(batch.student, batch.n_global)
        return dissl_terms(s, t, c.lambd, c.beta, c.student_temperature, c.teacher_temperature)


def _to_classes(bottleneck: Head, classes: int) -> nn.Module:
    """The linear layer to the classes, after a batch norm where the bottleneck has none."""
    last = nn.Linear(bottleneck.out, classes)
    return last if len(bottleneck) else nn.Sequential(nn.BatchNorm1d(bottleneck.out), last)
