"""CISSL: contrastive learning of idealized representations, with two unlike heads.

Dubois, Hashimoto, Ermon, Liang, Improving Self-Supervised Learning by Characterizing Idealized
Representations, NeurIPS 2022, and the authors' published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_positive, check_same_width, check_view_stacks
from jessl.objectives._heads import apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import gather_batch

__all__ = ["CISSL", "CISSLConfig", "cissl"]


@full_precision
def cissl(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy of student rows, each classified by image among all teacher rows.

    Convention (the authors' code): both are L2-normalised here; each of the views * batch student
    rows is an anchor with a softmax over all global views * batch teacher rows, itself among
    them. The target is spread evenly over the teacher rows of the anchor's image: the anchor
    itself, where it is a global view, and its other global views. The mean over the anchors is
    returned. Gradients flow through both; nothing is symmetrised over the two. Equal heads give
    at least log(global views).

    Example:
        cissl(torch.randn(2, 256, 128), torch.randn(2, 256, 128), temperature=0.07)

    Args:
        student: [views, batch, dim]; the first len(teacher) views are global.
        teacher: [global views, batch, dim] of the same images.
        temperature: > 0; the authors use .07, and .1 on ImageNet.

    Raises:
        ValueError: for shapes that do not fit, fewer than two views or a temperature that is not
            positive.
    """
    check_view_stacks(student, teacher)
    check_positive(temperature=temperature)
    s = F.normalize(student.flatten(0, 1), dim=1)
    t = F.normalize(teacher.flatten(0, 1), dim=1)
    log_p = F.log_softmax(s @ t.T / temperature, dim=1)
    views, n, _ = student.shape
    # the diagonal over the two image dimensions: teacher rows of the anchor's own image
    return -log_p.view(views, n, len(teacher), n).diagonal(dim1=1, dim2=3).mean()


@dataclass(frozen=True, kw_only=True)
class CISSLConfig:
    """Options of CISSL.

    Attributes:
        projector: the teacher head (`_heads.build_head`); None: 1024-128. Batch norm
            follows its last layer.
        student_head: a head as wide at its end as the projector, which should have the form of
            the intended probe: "linear" with batch norm after it, an affine map in evaluation, for
            a linear probe; widths such as "2048-2048-128" for a multilayer perceptron; "mlp":
            1024 - width of the projector.
        temperature: of the softmax, > 0; the authors' configuration for ImageNet has .1 (and a
            projector 2048-2048-128).
    """

    name: ClassVar[str] = "cissl"
    projector: str | int | None = None
    student_head: str | int = "linear"
    temperature: float = 0.07

    def build(self, dim: int) -> CISSL:
        """The objective for representations of width `dim`."""
        return CISSL(self, dim)


class CISSL(Objective):
    """Student head of the probe's form, expressive teacher head, and CISSL's loss.

    The theory asks that one of the two heads has the form of the probe that will use the
    representations. That such unlike heads are better in practice is not claimed here: the first
    author's own later models on ImageNet do not confirm it (table of Dubois et al., Evaluating
    Self-Supervised Learning via Risk Decomposition, ICML 2023: SimCLR with a linear student and a
    perceptron teacher has 39.5% error under a linear probe, with two perceptrons 35.2%).

    Both heads see representations of the trained encoder; there is no slow teacher and no stopped
    gradient. The teacher head sees the global views only.
    """

    def __init__(self, config: CISSLConfig, dim: int) -> None:
        super().__init__()
        check_positive(temperature=config.temperature)
        self.config = config
        self.projector = build_head(config.projector, dim, "1024-128", last_norm=True)
        out = self.projector.out
        self.student_head = build_head(config.student_head, dim, f"1024-{out}", last_norm=True)
        check_same_width("student_head of cissl", self.student_head, self.projector)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: the teacher head's outputs, not normalised; RankMe's layer."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """CISSL's loss of representations [views, batch, dim]; both heads see the student's."""
        s = gather_batch(apply_to_views(self.student_head, batch.student))
        t = gather_batch(apply_to_views(self.projector, batch.student[: batch.n_global]))
        return Terms(cissl(s, t, self.config.temperature), {})
