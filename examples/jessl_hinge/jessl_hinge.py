"""An objective, a score and an encoder for jessl, as another package defines them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from jessl.objectives import (
    Objective,
    Representations,
    Terms,
    apply_to_views,
    build_head,
    gather_batch,
    unordered_pairs,
)
from jessl.scores import SpectralScore


@dataclass(frozen=True, kw_only=True)
class HingeConfig:
    """Options of the hinge loss.

    Attributes:
        margin: cosine above which two different images are pushed apart.
        projector: widths of the head, such as "512-128"; None: 2 dim - dim.
    """

    name: ClassVar[str] = "hinge"
    margin: float = 0.2
    projector: str | None = None

    def build(self, dim: int) -> Hinge:
        """The objective for representations of width `dim`."""
        return Hinge(self, dim)


class Hinge(Objective):
    """Views of one image are pulled together, different images pushed below a cosine."""

    def __init__(self, config: HingeConfig, dim: int) -> None:
        super().__init__()
        self.margin = config.margin
        self.projector = build_head(config.projector, dim, f"{2 * dim}-{dim}")

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]."""
        return self.projector(representations)

    def compute_loss(self, batch: Representations) -> Terms:
        """The loss of representations [views, batch, dim]."""
        z = F.normalize(gather_batch(apply_to_views(self.projector, batch.student)), dim=-1)
        pull, push = torch.zeros(2, device=z.device, dtype=z.dtype)
        pairs = unordered_pairs(len(z), batch.n_global)
        for i, j in pairs:
            cosines = z[i] @ z[j].T
            same = torch.eye(len(cosines), dtype=torch.bool, device=z.device)
            pull = pull + (1 - cosines[same]).mean() / len(pairs)
            push = push + F.relu(cosines[~same] - self.margin).mean() / len(pairs)
        return Terms(pull + push, {"pull": pull.detach(), "push": push.detach()})


def largest_share(eigenvalues: np.ndarray, n: int, d: int) -> float:
    """The largest eigenvalue of the covariance, divided by their sum: 1 for one dimension."""
    total = eigenvalues.sum()
    return float(eigenvalues[0] / total) if total else 0.0


LARGEST_SHARE = SpectralScore(
    compute=largest_share, rows="centred", higher_is_better=False, source="this example"
)


def patches(size: int | None = None, channels: int = 3) -> nn.Module:
    """An encoder: means of a linear map of 4 x 4 patches, [batch, c, s, s] to [batch, 64]."""
    return nn.Sequential(nn.Conv2d(channels, 64, 4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
