"""The ResNets for CIFAR-10 of He et al., Deep Residual Learning for Image Recognition, CVPR 2016
(arXiv:1512.03385), section 4.2, without the head: 6 k + 2 layers, 64 features."""

from __future__ import annotations

import torch
from torch import nn

# 6 k + 2 with the k of the paper's table 6
LAYERS = (20, 32, 44, 56, 110)
DIM = 64


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (the paper's option A)."""

    def __init__(self, before: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.more = stride, planes - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, before, h, w] to [n, planes, h / stride, w / stride]."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        # new channels are zeros on both sides of the old ones
        sides = (0, 0, 0, 0, self.more // 2, self.more - self.more // 2)
        return torch.relu(y + nn.functional.pad(x[..., :: self.stride, :: self.stride], sides))


class SmallResNet(nn.Module):
    """The body of a net of 6 `blocks` + 2 layers.

    Names of tensors are those of akamaster/pytorch_resnet_cifar10.
    """

    def __init__(self, blocks: int, *, channels: int = 3) -> None:
        """
        Args:
            blocks: of each of the three stages, >= 1.
            channels: of the images.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks)
        self.layer2 = self._stage(16, 32, blocks)
        self.layer3 = self._stage(32, DIM, blocks)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    @staticmethod
    def _stage(before: int, planes: int, blocks: int) -> nn.Sequential:
        first = Block(before, planes, planes // before)
        return nn.Sequential(first, *(Block(planes, planes, 1) for _ in range(blocks - 1)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[n, c, s, s] to [n, 64]."""
        x = torch.relu(self.bn1(self.conv1(images)))
        return self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3))
