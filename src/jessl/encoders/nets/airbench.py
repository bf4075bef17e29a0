"""The net of the speed records on CIFAR-10: wide early planes, few layers, GELU.

Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, arXiv 2404.00498, section 3: a 2x2
convolution, three groups of two 3x3 convolutions of widths 64, 256 and 256, and a maximum over
what is left of the plane. Differences: the first layer is learned, not whitened from the data, and
the momentum of the batch norms is torch's.
"""

from __future__ import annotations

import torch
from torch import nn

# factor of the widths in the paper's table: 64, 256, 256
DEFAULT_WIDTH = 64
_STEM_CHANNELS = 24


class AirbenchNet(nn.Module):
    """[batch, `channels`, s, s] with s >= 16 to [batch, 4 x width]."""

    def __init__(self, width: int = DEFAULT_WIDTH, *, channels: int = 3) -> None:
        super().__init__()
        self.dim = 4 * width
        layers: list[nn.Module] = [nn.Conv2d(channels, _STEM_CHANNELS, 2, bias=True), nn.GELU()]
        channels = _STEM_CHANNELS
        for out in (width, 4 * width, 4 * width):
            layers += [
                nn.Conv2d(channels, out, 3, padding=1, bias=False),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(out),
                nn.GELU(),
                nn.Conv2d(out, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.GELU(),
            ]
            channels = out
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Representations [batch, 4 x width] of images [batch, c, s, s]."""
        return self.layers(images).amax(dim=(2, 3))
