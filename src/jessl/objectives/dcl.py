"""DCL: NT-Xent without the positive in the denominator.

Yeh, Hong, Hsu, Liu, Chen, LeCun, Decoupled Contrastive Learning, ECCV 2022: the loss DC, without
the weights of DCW. Meant for small batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_positive, check_rows, check_same_shape
from jessl.objectives._contrastive import (
    all_logits,
    build_contrastive_heads,
    paired_rows,
    positive_rows,
)
from jessl.objectives._precision import full_precision

__all__ = ["DCL", "DCLConfig", "dcl"]


@full_precision
def dcl(z1: torch.Tensor, z2: torch.Tensor, temperature: float) -> torch.Tensor:
    """Decoupled contrastive loss of two views; it may be negative.

    With s_ij the cosine of rows i and j over temperature, and p(i) the positive of i:
    mean over i of - s_ip(i) + log of the sum over j != i, p(i) of exp(s_ij).

    Convention: embeddings are L2-normalised here; for each of the 2 n anchors the log-sum-exp of
    the 2 n - 2 similarities with other images, less the similarity with its positive; the mean
    over the 2 n anchors is returned. lightly agrees (default temperature .1).

    Example:
        dcl(torch.randn(64, 128), torch.randn(64, 128), temperature=0.1)

    Args:
        z1, z2: [batch, dim], batch >= 2; row i of both is the same image.
        temperature: > 0.

    Raises:
        ValueError: for unequal shapes, a single row or a temperature that is not positive.
    """
    check_same_shape(z1=z1, z2=z2)
    check_positive(temperature=temperature)
    z = torch.cat([z1, z2])
    return _decoupled(z, z, temperature)


@full_precision
def _decoupled(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> torch.Tensor:
    check_rows(2, "to compare", queries[: len(queries) // 2])
    logits = all_logits(queries, keys, temperature)
    partner = positive_rows(len(queries), queries.device)[:, None]
    others = logits.scatter(1, partner, float("-inf")).logsumexp(dim=1)
    return (others - logits.gather(1, partner).squeeze(1)).mean()


@dataclass(frozen=True, kw_only=True)
class DCLConfig:
    """Options of DCL.

    Attributes:
        projector: a head (`_heads.build_head`); None: 4 dim - 4 dim - dim.
        temperature: of the softmax, > 0.
        teacher_head: a second head, with whose outputs those of the projector are compared, of the
            projector's width ("mlp": 4 dim - 4 dim - dim); None: the projector.
    """

    name: ClassVar[str] = "dcl"
    projector: str | int | None = None
    temperature: float = 0.1
    teacher_head: str | int | None = None

    def build(self, dim: int) -> DCL:
        """The objective for representations of width `dim`."""
        return DCL(self, dim)


class DCL(Objective):
    """Projector, or projector and teacher head, and the decoupled contrastive loss.

    With k views the mean over unordered pairs of views of which one at least is global. Two
    heads work as in `jessl.objectives.SimCLR`.
    """

    def __init__(self, config: DCLConfig, dim: int) -> None:
        super().__init__()
        check_positive(temperature=config.temperature)
        self.config = config
        self.projector, self.teacher_head = build_contrastive_heads(
            "dcl", config.projector, config.teacher_head, dim
        )

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]; not normalised."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """The decoupled contrastive loss of representations [views, batch, dim]."""
        pairs = paired_rows(self.projector, self.teacher_head, batch.student, batch.n_global)
        losses = [_decoupled(q, k, self.config.temperature) for q, k in pairs]
        return Terms(torch.stack(losses).mean(), {})
