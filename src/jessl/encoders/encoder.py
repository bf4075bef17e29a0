"""Any backbone as an encoder: images in, one vector an image out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from jessl.encoders.expansion import Expansion


@dataclass(frozen=True)
class Preprocess:
    """What an encoder expects of its images; it belongs to the weights.

    Attributes:
        size: side of the square input, pixels.
        mean, std: normalisation of pixels in [0, 1], per channel.
        crop_share: side of the central crop over the short side of the image.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_share: float = 1.0


class Encoder(nn.Module):
    """A backbone with what its users must know: [batch, 3, s, s] to [batch, dim].

    Attributes:
        dim: length of the representation.
        preprocess: what the images must look like.
        name: what builds the body again, e.g. "timm:resnet18".
        stem: "small" or "standard".
        expansion: what changes the body's features to `dim`, None where nothing does. It stands
            beside the body, not in it: names of the body's tensors stay those of its library.
    """

    def __init__(
        self, body: nn.Module, *, dim: int, preprocess: Preprocess, name: str, stem: str
    ) -> None:
        super().__init__()
        self.body = body
        self.dim = dim
        self.preprocess = preprocess
        self.name = name
        self.stem = stem
        self.expansion: Expansion | None = None

    def expand(self, expansion: Expansion) -> None:
        """Represent by `expansion`, which takes the body's features, from now on."""
        self.expansion = expansion
        self.dim = expansion.dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Representations [batch, dim] of images [batch, 3, s, s], normalised by `preprocess`."""
        if self.expansion is not None:
            return self.expansion.represent(self.body, images)
        return self.body(images)
