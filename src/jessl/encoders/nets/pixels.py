"""The pixels themselves: the baseline that any encoder has to beat."""

from __future__ import annotations

import torch
from torch import nn

NAME = "pixels"


class Pixels(nn.Module):
    """[batch, 3, s, s] to [batch, 3 s s]; it has no weights."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.dim = 3 * size * size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Values [batch, 3 s s] of images [batch, 3, s, s]."""
        return images.flatten(1)
