"""SimCLR: agreement of two views, contrasted with all or some other images of the batch.

Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual
Representations, ICML 2020, equation 1. With few negatives, or one image patch as the only negative:
Bordes, Balestriero, Vincent, Towards Democratizing Joint-Embedding Self-Supervised Learning, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from jessl.core.devices import to_device
from jessl.core.random import step_generator
from jessl.objectives._base import Objective, Representations, Terms, TrainingPosition
from jessl.objectives._checks import check_at_least, check_positive, check_same_shape
from jessl.objectives._contrastive import (
    all_logits,
    build_contrastive_heads,
    draw_negatives,
    drawn_logits,
    paired_rows,
    pool_logits,
    positive_rows,
)
from jessl.objectives._precision import full_precision

__all__ = ["SimCLR", "SimCLRConfig", "nt_xent"]


@full_precision
def nt_xent(z1: torch.Tensor, z2: torch.Tensor, temperature: float) -> torch.Tensor:
    """Normalised-temperature cross-entropy of two views.

    With s_ij the cosine of rows i and j over temperature, and p(i) the positive of i:
    mean over i of - s_ip(i) + log of the sum over j != i of exp(s_ij).

    Convention: embeddings are L2-normalised here; each of the 2 n anchors is classified among
    the 2 n - 1 others (itself left out), and the mean over the 2 n anchors is returned. lightly,
    solo-learn, stable-pretraining and FFCV-SSL agree at equal temperature; their default
    temperatures are .5, .1, .5 and .15.

    Example:
        nt_xent(torch.randn(256, 128), torch.randn(256, 128), temperature=0.1)

    Args:
        z1, z2: [batch, dim]; row i of both is the same image.
        temperature: > 0.

    Raises:
        ValueError: for unequal shapes or a temperature that is not positive.
    """
    check_same_shape(z1=z1, z2=z2)
    check_positive(temperature=temperature)
    z = torch.cat([z1, z2])
    return _against_all(z, z, temperature)


@full_precision
def _against_all(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> torch.Tensor:
    logits = all_logits(queries, keys, temperature)
    return F.cross_entropy(logits, positive_rows(len(queries), queries.device))


@full_precision
def _against_drawn(
    queries: torch.Tensor, keys: torch.Tensor, temperature: float, drawn: torch.Tensor
) -> torch.Tensor:
    return _classify_first(drawn_logits(queries, keys, temperature, drawn))


@full_precision
def _against_pool(
    queries: torch.Tensor, keys: torch.Tensor, temperature: float, pool: int
) -> torch.Tensor:
    return _classify_first(pool_logits(queries, keys, temperature, pool))


def _classify_first(logits: torch.Tensor) -> torch.Tensor:
    first = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    return F.cross_entropy(logits, first)


@dataclass(frozen=True, kw_only=True)
class SimCLRConfig:
    """Options of SimCLR.

    Attributes:
        projector: a head (`_heads.build_head`); None: 4 dim - 4 dim - dim.
        temperature: of the softmax, > 0 (FFCV-SSL's recipes for ImageNet use .15).
        teacher_head: a second head, with whose outputs those of the projector are compared, of the
            projector's width ("mlp": 4 dim - 4 dim - dim); None: the projector.
        negatives: number of negatives of an anchor, from 1 to 2 batch - 2 of the global batch,
            drawn anew at each step; None: all.
        pool: the last `pool` images of the global batch are the only negatives, and no anchors;
            0: none. Not together with `negatives`.
    """

    name: ClassVar[str] = "simclr"
    projector: str | int | None = None
    temperature: float = 0.2
    teacher_head: str | int | None = None
    negatives: int | None = None
    pool: int = 0

    def build(self, dim: int) -> SimCLR:
        """The objective for representations of width `dim`."""
        return SimCLR(self, dim)


class SimCLR(Objective):
    """Projector, or projector and teacher head, and NT-Xent.

    With k views the mean over unordered pairs of views of which one at least is global.

    Two heads: the projector's outputs are the anchors, and their softmax runs over the teacher
    head's outputs of the same views, but for the anchor's own; gradients flow through both. With
    projector "linear" and teacher_head "mlp" this is the asymmetric contrastive method of Dubois
    et al. (`jessl.objectives.cissl`) without the anchor among its own positives.

    Drawn negatives: each anchor, a view of an image, has `negatives` others, drawn without
    replacement from all rows of both views but itself and its positive. The draw depends on the
    training's seed and step and on positions in the global batch, so it is the same for any
    number of processes; the order of the batch therefore matters.

    Pool: the two views of the last `pool` images of the global batch are the 2 pool negatives of
    every other row. Position i of the batch of process r of W is position i W + r of the global
    batch: with pool 1, the only negative is the last image of the last process. A training that
    puts one patch there makes it the only negative.
    """

    def __init__(self, config: SimCLRConfig, dim: int) -> None:
        super().__init__()
        check_positive(temperature=config.temperature)
        check_at_least(0, pool=config.pool)
        if config.negatives is not None:
            check_at_least(1, negatives=config.negatives)
        if config.negatives is not None and config.pool:
            raise ValueError(
                f"negatives and pool: expected only one, got {config.negatives} and {config.pool}"
            )
        self.config = config
        self.pool = config.pool
        self.projector, self.teacher_head = build_contrastive_heads(
            "simclr", config.projector, config.teacher_head, dim
        )
        self._position = TrainingPosition(step=0, total_steps=1, steps_per_epoch=1)

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]; not normalised."""
        return self.projector(representations)

    def begin_step(self, position: TrainingPosition) -> None:
        """Store the position, from which the negatives of the step are drawn."""
        self._position = position

    def compute_loss(self, batch: Representations) -> Terms:
        """NT-Xent of representations [views, batch, dim].

        Raises:
            ValueError: when the global batch is too small for `negatives` or `pool`.
        """
        pairs = paired_rows(self.projector, self.teacher_head, batch.student, batch.n_global)
        c = self.config
        if c.pool:
            losses = [_against_pool(q, k, c.temperature, c.pool) for q, k in pairs]
        elif c.negatives is not None:
            generator = step_generator(self._position.seed, self._position.step)
            losses = []
            for q, k in pairs:
                drawn = to_device(draw_negatives(len(q), c.negatives, generator), q.device)
                losses.append(_against_drawn(q, k, c.temperature, drawn))
        else:
            losses = [_against_all(q, k, c.temperature) for q, k in pairs]
        return Terms(torch.stack(losses).mean(), {})
