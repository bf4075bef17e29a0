"""SwAV: predict from one view the code of another; codes spread the batch over prototypes.

Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments,
NeurIPS 2020, equations 1 to 5, and the authors' published code. Sinkhorn's iteration: Cuturi,
Sinkhorn Distances, NeurIPS 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from jessl.core import collectives
from jessl.objectives._base import Objective, Representations, Terms, TrainingPosition
from jessl.objectives._checks import (
    check_at_least,
    check_positive,
    check_same_shape,
    check_same_width,
)
from jessl.objectives._heads import Prototypes, apply_by_crop, apply_to_views, build_head
from jessl.objectives._precision import full_precision
from jessl.objectives._views import gather_batch, mean_cross_entropy

__all__ = ["SwAV", "SwAVConfig", "swav"]


@full_precision
def swav(
    scores1: torch.Tensor,
    scores2: torch.Tensor,
    temperature: float = 0.1,
    sinkhorn_iterations: int = 3,
    epsilon: float = 0.05,
) -> torch.Tensor:
    """Cross-entropy of each view's softmax against the other view's code.

    With q the codes and s the scores: - mean of (q2 log softmax(s1 / temperature) + q1 log
    softmax(s2 / temperature)) / 2, summed over prototypes.

    Convention: codes come from `sinkhorn`, of each view by itself, without gradient; mean over
    the batch and of the two directions. lightly and solo-learn agree; stable-pretraining runs
    one Sinkhorn over both views together and gives another value.

    Example:
        swav(2 * torch.rand(256, 512) - 1, 2 * torch.rand(256, 512) - 1)

    Args:
        scores1, scores2: cosines with the prototypes [batch, prototypes] before temperature; row
            i of both is the same image.
        temperature, epsilon: > 0, of the prediction and of the codes.
        sinkhorn_iterations: >= 1.

    Raises:
        ValueError: for unequal shapes or parameters out of range.
    """
    check_same_shape(scores1=scores1, scores2=scores2)
    _check_options(temperature, sinkhorn_iterations, epsilon)
    scores = torch.stack([scores1, scores2])
    codes = sinkhorn(scores.detach(), sinkhorn_iterations, epsilon)
    return mean_cross_entropy(codes, scores / temperature)


@full_precision
def sinkhorn(
    scores: torch.Tensor,
    iterations: int = 3,
    epsilon: float = 0.05,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Codes: each row is a distribution, and each prototype gets about the same total mass.

    Alternately columns and rows of exp(scores / epsilon) are divided by their sums, rows last:
    rows sum to 1 exactly, columns to rows / prototypes in the limit of many iterations. Computed
    with logarithms, so that no score overflows.

    Args:
        scores: [..., rows, prototypes].
        iterations: >= 1.
        epsilon: > 0; the smaller, the harder the codes.
        counted: bool [rows], at least one true; the other rows are left out of the columns' sums.
            None: all rows count.

    Returns:
        [..., rows, prototypes].
    """
    log = scores / epsilon
    for _ in range(iterations):
        column = log if counted is None else log.masked_fill(~counted[:, None], float("-inf"))
        log = log - column.logsumexp(dim=-2, keepdim=True)
        log = log - log.logsumexp(dim=-1, keepdim=True)
    return log.exp()


def _check_options(temperature: float, iterations: int, epsilon: float) -> None:
    check_positive(temperature=temperature, epsilon=epsilon)
    check_at_least(1, sinkhorn_iterations=iterations)


@dataclass(frozen=True, kw_only=True)
class SwAVConfig:
    """Options of SwAV.

    Attributes:
        projector: a head (`_heads.build_head`); None: dim - max(64, dim / 16), the
            paper's 2048-128 on a ResNet-50, to scale.
        predictor: a head between the features and the prototypes that predicts, of the same
            width; codes are made without it. The paper has none ("identity").
        prototypes: >= 2. The paper has 3000 for ImageNet's 1000 classes and finds little
            difference from there on; 512 is for small data. A batch (with its queue) should have
            about as many rows.
        temperature: of the prediction, > 0.
        epsilon: of the codes, > 0.
        sinkhorn_iterations: >= 1.
        queue: rows of past batches for each of two global views that the codes are shared out
            over too, for batches smaller than the prototypes (the paper: 3840 at a batch of 256);
            0: none.
        queue_from_epoch: >= 0; from this epoch on codes see the queue (once it is full). The
            authors fill it from then on too, here it is filled from the start.
        freeze_epochs: >= 0; for that long the prototypes do not change. The authors' 313 steps at a
            batch of 4096 and 5005 at 256 are one epoch of ImageNet.
    """

    name: ClassVar[str] = "swav"
    projector: str | int | None = None
    predictor: str | int | None = "identity"
    prototypes: int = 512
    temperature: float = 0.1
    epsilon: float = 0.05
    sinkhorn_iterations: int = 3
    queue: int = 0
    queue_from_epoch: float = 15.0
    freeze_epochs: float = 1.0

    def __post_init__(self) -> None:
        _check_options(self.temperature, self.sinkhorn_iterations, self.epsilon)
        check_at_least(
            0,
            queue=self.queue,
            queue_from_epoch=self.queue_from_epoch,
            freeze_epochs=self.freeze_epochs,
        )

    def build(self, dim: int) -> SwAV:
        """The objective for representations of width `dim`."""
        return SwAV(self, dim)


class SwAV(Objective):
    """Projector, prototypes and, on request, a queue of past features.

    Each global view's code, made of the whole batch of all processes by itself, is predicted from
    every other view: the mean over ordered pairs of unlike views, the code's a global one. The
    projector sees global and local views apart (`_heads.apply_by_crop`), so that
    local views do not affect the codes; the authors' sees them together. The prototypes' lengths
    are divided out where they are used; the authors set them to 1 before each step.

    Before the first `begin_step` all warm-ups count as over.
    """

    def __init__(self, config: SwAVConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        widths = f"{dim}-{max(64, dim // 16)}"
        self.projector = build_head(config.projector, dim, widths, last_bias=True)
        out = self.projector.out
        self.predictor = build_head(config.predictor, out, f"{2 * dim}-{out}", last_bias=True)
        check_same_width("predictor of swav", self.predictor, self.projector)
        self.prototypes = Prototypes(out, config.prototypes)
        self.queue: torch.Tensor
        self.queued: torch.Tensor
        if config.queue:
            self.register_buffer("queue", torch.zeros(2, config.queue, out))
            self.register_buffer("queued", torch.zeros((), dtype=torch.int64))
        self._frozen = False
        self._queue_counts = True

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out], not normalised, before prototypes."""
        return self.projector(representations)

    def begin_step(self, position: TrainingPosition) -> None:
        """Set whether the prototypes are frozen and whether codes see the queue."""
        self._frozen = position.epoch < self.config.freeze_epochs
        self._queue_counts = position.epoch >= self.config.queue_from_epoch

    def after_backward(self) -> None:
        """Discard the gradient of frozen prototypes."""
        if self._frozen:
            self.prototypes.weight.grad = None

    def compute_loss(self, batch: Representations) -> Terms:
        """SwAV's loss of representations [views, batch, dim].

        Raises:
            ValueError: with a queue, unless there are 2 global views.
        """
        z = apply_by_crop(self.projector, batch.student, batch.n_global)
        codes = self._codes(z.detach() if batch.n_global is None else z[: batch.n_global].detach())
        scores = self.prototypes(apply_to_views(self.predictor, z))
        return Terms(mean_cross_entropy(codes, scores / self.config.temperature), {})

    @torch.no_grad()
    def _codes(self, z: torch.Tensor) -> torch.Tensor:
        """Codes [n_global, batch, prototypes] of this process's features [n_global, batch, out]."""
        c = self.config
        if c.queue and len(z) != 2:
            raise ValueError(f"queue of swav: expected 2 global views, got {len(z)}")
        features = F.normalize(gather_batch(z), dim=-1)
        batch, counted = features.shape[1], None
        known = torch.cat([features, self.queue.to(features)], dim=1) if c.queue else features
        if c.queue and self._queue_counts:
            place = torch.arange(known.shape[1], device=z.device)
            counted = (place < batch) | (self.queued >= c.queue)
        rows = features if counted is None else known
        codes = sinkhorn(self.prototypes(rows), c.sinkhorn_iterations, c.epsilon, counted)
        if c.queue and self.training:
            self.queue.copy_(known[:, : c.queue])
            self.queued.add_(batch).clamp_(max=c.queue)
        # process r of W has the rows r, W + r, 2 W + r, ... of the global batch
        return codes[:, :batch][:, collectives.rank() :: collectives.world()]
