"""SimCLR: agreement of two views against all other images of the batch.

Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual
Representations, ICML 2020, equation 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.objectives.base import (
    Objective,
    Terms,
    full_precision,
    mean_over_pairs,
    same_shape,
    whole_batch,
)
from jessl.objectives.heads import apply_to_views, expander_widths, head

__all__ = ["SimCLR", "SimCLRConfig", "nt_xent"]


@full_precision
def nt_xent(z1: torch.Tensor, z2: torch.Tensor, temperature: float) -> torch.Tensor:
    """Normalised-temperature cross-entropy of two views.

    Convention: embeddings are L2-normalised here; each of the 2 n anchors is classified among
    the 2 n - 1 others (itself left out), and the mean over the 2 n anchors is returned. lightly,
    solo-learn, stable-pretraining and FFCV-SSL agree at equal temperature; their default
    temperatures are .5, .1, .5 and .15.

    Args:
        z1, z2: [batch, dim]; row i of both is the same image.
        temperature: > 0.

    Raises:
        ValueError: for unequal shapes or a temperature that is not positive.
    """
    same_shape(z1=z1, z2=z2)
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    n = len(z1)
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = z @ z.T / temperature
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    logits = logits.masked_fill(itself, float("-inf"))
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, partner)


@dataclass(frozen=True, kw_only=True)
class SimCLRConfig:
    """Options of SimCLR.

    Attributes:
        projector: a head (`jessl.objectives.heads.head`); None: 4 dim - 4 dim - dim.
        temperature: of the softmax, > 0 (FFCV-SSL's recipes for ImageNet use .15).
    """

    name: ClassVar[str] = "simclr"
    projector: str | int | None = None
    temperature: float = 0.2

    def build(self, dim: int) -> SimCLR:
        """The objective for representations of width `dim`."""
        return SimCLR(self, dim)


class SimCLR(Objective):
    """Projector and NT-Xent.

    With k views the mean over unordered pairs of views of which one at least is global.
    """

    def __init__(self, config: SimCLRConfig, dim: int) -> None:
        super().__init__()
        if config.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {config.temperature}")
        self.config = config
        self.projector = head(config.projector, dim, expander_widths(dim))

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]; not normalised."""
        return self.projector(representations)

    def layers(self) -> dict[str, nn.Module]:
        """The layers of the projector."""
        return self.projector.layers("projector")

    def loss(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor | None = None,
        *,
        n_global: int | None = None,
        labels: torch.Tensor | None = None,
    ) -> Terms:
        """NT-Xent of representations [views, batch, dim]."""
        z = whole_batch(apply_to_views(self.projector, student))
        total = mean_over_pairs(lambda a, b: nt_xent(a, b, self.config.temperature), z, n_global)
        return Terms(total, {})
