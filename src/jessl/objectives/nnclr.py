"""NNCLR: contrast a view's prediction with the nearest neighbour of another view in a queue.

Dwibedi, Aytar, Tompson, Sermanet, Zisserman, With a Little Help from My Friends: Nearest-Neighbor
Contrastive Learning of Visual Representations, ICCV 2021 (arXiv 2104.14548), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import (
    check_at_least,
    check_positive,
    check_same_shape,
    check_same_width,
)
from jessl.objectives._heads import apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import gather_batch, ordered_pairs

__all__ = ["NNCLR", "NNCLRConfig", "nnclr"]


@full_precision
def nnclr(neighbours: torch.Tensor, p: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE of neighbours against predictions.

    Convention (the paper's): one direction; both are L2-normalised and neighbours detached here;
    each neighbour is classified among the predictions of the whole batch, that of its own image
    among them; mean over the batch. solo-learn agrees. lightly and stable-pretraining hand both to
    NT-Xent, where neighbours and predictions are anchors and negatives alike: another value.

    Example:
        nnclr(torch.randn(256, 128), torch.randn(256, 128), temperature=0.1)

    Args:
        neighbours: [batch, dim], of one view (`nearest_neighbours`).
        p: predictions [batch, dim] of another view, row i of the same image as row i of neighbours.
        temperature: > 0.

    Raises:
        ValueError: for unequal shapes or a temperature that is not positive.
    """
    check_same_shape(neighbours=neighbours, p=p)
    check_positive(temperature=temperature)
    logits = F.normalize(neighbours.detach(), dim=1) @ F.normalize(p, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(p), device=p.device))


@full_precision
def nearest_neighbours(z: torch.Tensor, queue: torch.Tensor) -> torch.Tensor:
    """The row of the queue with the largest cosine to each row of z, L2-normalised.

    Args:
        z: [..., dim].
        queue: [rows, dim].

    Returns:
        [..., dim], without gradient.
    """
    rows = F.normalize(queue.detach().to(z.dtype), dim=1)
    return rows[(F.normalize(z.detach(), dim=-1) @ rows.T).argmax(dim=-1)]


@dataclass(frozen=True, kw_only=True)
class NNCLRConfig:
    """Options of NNCLR.

    Attributes:
        projector: a head (`_heads.build_head`); None: dim - dim - max(64, dim / 8), the paper's
            2048-2048-256 on a ResNet-50, to scale. Batch norm follows the last layer too.
        predictor: a head that predicts, of the same width at its end; None: 2 dim - width of the
            projector, the paper's 4096-256.
        temperature: of the softmax, > 0 (the paper's .1; solo-learn's for CIFAR-10 is .2).
        queue: rows of past batches among which the neighbours are, >= 1. The paper has 98304 for
            the 1.28 million images of ImageNet and finds longer queues better up to there. In a
            queue that holds more rows than there are images the neighbour is often the image
            itself, an epoch ago.
    """

    name: ClassVar[str] = "nnclr"
    projector: str | int | None = None
    predictor: str | int | None = None
    temperature: float = 0.1
    queue: int = 4096

    def build(self, dim: int) -> NNCLR:
        """The objective for representations of width `dim`."""
        return NNCLR(self, dim)


class NNCLR(Objective):
    """Projector, predictor, and a queue of the projections of past batches.

    The mean over ordered pairs of unlike views: any view predicts, and the neighbour is that of a
    global one. Negatives are the other images' predictions of the whole batch of all processes.
    After each loss in training mode the first view's projections of the whole batch enter the
    queue, and as many old rows leave it. It begins with random directions, as in lightly and
    solo-learn; a prediction is compared with them in the first steps only, since projections are
    nearer to each other than to them.

    Parts: `neighbour_cosine`, the mean cosine of a projection and its neighbour.
    """

    queue: torch.Tensor

    def __init__(self, config: NNCLRConfig, dim: int) -> None:
        super().__init__()
        check_positive(temperature=config.temperature)
        check_at_least(1, queue=config.queue)
        self.config = config
        widths = f"{dim}-{dim}-{max(64, dim // 8)}"
        self.projector = build_head(config.projector, dim, widths, last_norm=True)
        out = self.projector.out
        self.predictor = build_head(config.predictor, out, f"{2 * dim}-{out}", last_bias=True)
        check_same_width("predictor of nnclr", self.predictor, self.projector)
        self.register_buffer("queue", F.normalize(torch.randn(config.queue, out), dim=1))

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out], not normalised, before the predictor."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """NNCLR's loss of representations [views, batch, dim]."""
        z = apply_to_views(self.projector, batch.student)
        p = gather_batch(apply_to_views(self.predictor, z))
        targets = z.detach() if batch.n_global is None else z[: batch.n_global].detach()
        near = nearest_neighbours(targets, self.queue)
        similarity = _mean_cosine(targets, near)
        neighbours = gather_batch(near)
        losses = [
            nnclr(neighbours[j], p[i], self.config.temperature)
            for i, j in ordered_pairs(len(p), len(neighbours))
        ]
        if self.training:
            self._enqueue(targets[:1])
        return Terms(torch.stack(losses).mean(), {"neighbour_cosine": similarity})

    @torch.no_grad()
    def _enqueue(self, z: torch.Tensor) -> None:
        """Put the projections [1, batch, out] of all processes before the rows of the queue."""
        new = F.normalize(gather_batch(z)[0], dim=1).to(self.queue)
        self.queue.copy_(torch.cat([new, self.queue])[: len(self.queue)])


@full_precision
def _mean_cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(a, b, dim=-1).mean()
