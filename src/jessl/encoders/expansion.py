"""More features than the body of an encoder has: a residual block before the average pooling.

Dubois et al., Improving Self-Supervised Learning by Characterizing Idealized Representations,
NeurIPS 2022: for a linear probe to solve every task on C classes of images, the
representations must span C - 1 dimensions, more than a ResNet's 512. Their ResNet-18 with 2,048
features instead of 512 gained 1.8 (CISSL) and 2.9 (DISSL) points on TinyImageNet.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from jessl.encoders.nets.smallconv import SmallConv

# channels of the 3x3 convolution, as in the paper, whatever the output width
BOTTLENECK = 512


class Expansion(nn.Module):
    """Channels c to dim: relu(branch(x) + residual(x)).

    For feature maps [n, c, h, w] the branch is convolutions 1x1 to b = min(c, 512), 3x3 in b and
    1x1 to dim; for vectors [n, c] it is linear layers to b and to dim. Each has batch norm, and all
    but the last have ReLU. The residual is the input's channels, repeated and cut to dim; where
    dim < c, which would lose channels, it is a 1x1 convolution (or a linear layer) with batch norm,
    as where a ResNet changes its width.

    No layer starts at zero: with a branch of zeros the dim features would start with rank c.
    """

    def __init__(self, channels: int, dim: int, *, planes: bool) -> None:
        """
        Args:
            channels: c, of the input, >= 1.
            dim: of the output, >= 1.
            planes: whether the input is a feature map [n, c, h, w] rather than vectors [n, c].
        """
        super().__init__()
        self.dim = dim
        self.planes = planes
        inner = min(channels, BOTTLENECK)
        norm = nn.BatchNorm2d if planes else nn.BatchNorm1d
        layers = [_linear(channels, inner, planes), norm(inner), nn.ReLU(inplace=True)]
        if planes:
            layers += [nn.Conv2d(inner, inner, 3, padding=1, bias=False), norm(inner)]
            layers.append(nn.ReLU(inplace=True))
        self.branch = nn.Sequential(*layers, _linear(inner, dim, planes), norm(dim))
        self.shortcut: nn.Module | None = None
        if dim < channels:
            self.shortcut = nn.Sequential(_linear(channels, dim, planes), norm(dim))
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, c, h, w] to [n, dim, h, w], or [n, c] to [n, dim]; no value is negative."""
        residual = _repeat_channels(x, self.dim) if self.shortcut is None else self.shortcut(x)
        return torch.relu(self.branch(x) + residual)

    def represent(self, body: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Representations [n, dim] of images [n, 3, s, s]: applied before the pooling of `body`."""
        if self.planes:
            return self(feature_map(body, images)).mean(dim=(2, 3))
        return self(body(images))


def _linear(before: int, after: int, planes: bool) -> nn.Module:
    """A linear map of channels, without bias, since batch norm follows it."""
    if planes:
        return nn.Conv2d(before, after, 1, bias=False)
    return nn.Linear(before, after, bias=False)


def _repeat_channels(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Channels 0, 1, ..., c - 1, 0, 1, ... up to dim of them."""
    channels = x.shape[1]
    return torch.cat([x] * (dim // channels) + [x[:, : dim % channels]], dim=1)


def has_feature_map(body: nn.Module) -> bool:
    """Whether `feature_map` can compute the input of the body's average pooling."""
    return isinstance(body, SmallConv) or is_resnet(body)


def is_resnet(body: nn.Module) -> bool:
    """Whether a body is a ResNet of timm or torchvision."""
    return all(hasattr(body, part) for part in ("conv1", "maxpool", "layer4"))


def feature_map(body: Any, images: torch.Tensor) -> torch.Tensor:
    """The input of the body's average pooling: [n, 3, s, s] to [n, c, h, w]."""
    if isinstance(body, SmallConv):
        return body.layers(images)
    if hasattr(body, "forward_features"):  # timm
        return body.forward_features(images)
    stem = (body.conv1, body.bn1, body.relu, body.maxpool)
    for part in (*stem, body.layer1, body.layer2, body.layer3, body.layer4):
        images = part(images)
    return images
