"""A small convolutional net that trains on two cores in minutes.

Four blocks of two 3x3 convolutions with batch norm and ReLU, widths w, 2w, 4w, 8w, halving the
sides between blocks while they are above 4 pixels, then the average over the plane. It is what
its name says: no published network, no claim beyond being small.
"""

from __future__ import annotations

import torch
from torch import nn

DEFAULT_WIDTH = 16


class SmallConv(nn.Module):
    """[batch, 3, s, s] with s >= 8 to [batch, 8 x width]."""

    def __init__(self, width: int = DEFAULT_WIDTH, *, size: int = 32) -> None:
        super().__init__()
        self.dim = 8 * width
        layers: list[nn.Module] = []
        channels, side = 3, size
        for k in range(4):
            out = width * 2**k
            # a plane above 16 pixels is halved at once: the first block costs the most
            stride = 2 if (k == 0 and side > 16) or (k > 0 and side > 4) else 1
            layers += _conv(channels, out, stride) + _conv(out, out, 1)
            channels, side = out, -(-side // stride)
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Representations [batch, 8 x width] of images [batch, 3, s, s]."""
        return self.layers(images).mean(dim=(2, 3))


def _conv(channels: int, out: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    ]
