"""The pixels themselves: the baseline that any encoder has to beat."""

from __future__ import annotations

import torch
from torch import nn

NAME = "pixels"


class Pixels(nn.Module):
    """[batch, c, s, s] to [batch, c s s], c 3 unless built otherwise; it has no weights."""

    def __init__(self, size: int, *, channels: int = 3) -> None:
        super().__init__()
        self.dim = channels * size * size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Values [batch, c s s] of images [batch, c, s, s]."""
        return images.flatten(1)
