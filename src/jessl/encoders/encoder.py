"""A backbone as an encoder: images in, one vector for each image out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from jessl.encoders.expansion import Expansion


@dataclass(frozen=True)
class Preprocess:
    """The images that an encoder expects; part of its weights.

    Attributes:
        size: side of the square input, pixels.
        mean, std: normalisation of pixels in [0, 1], per channel.
        crop_share: side of the central crop, divided by the short side of the image.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_share: float = 1.0


class Encoder(nn.Module):
    """A backbone with its input format and output width: [batch, channels, s, s] to [batch, dim].

    Example:
        encoder = build_encoder("smallconv", size=32)
        encoder(torch.zeros(4, 3, 32, 32)).shape  # [4, encoder.dim]

    Attributes:
        dim: length of the representation.
        preprocess: size and normalisation of the images.
        name: the name that builds the body again, e.g. "timm:resnet18".
        stem: "small" or "standard".
        expansion: a block from the body's features to `dim` ones; None: no block. It is not part of
            the body, whose tensors keep the names of their library.
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

    @property
    def channels(self) -> int:
        """Channels of the images: 3, or the bands that the encoder was built for."""
        return len(self.preprocess.mean)

    def expand(self, expansion: Expansion) -> None:
        """Append `expansion`, which maps the body's features to `expansion.dim` ones."""
        self.expansion = expansion
        self.dim = expansion.dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Representations [batch, dim] of images [batch, c, s, s], normalised by `preprocess`."""
        if self.expansion is not None:
            return self.expansion.represent(self.body, images)
        return self.body(images)


def output_width(name: str, body: nn.Module, size: int, channels: int) -> int:
    """Features of an image, measured: the width that a model reports is often another layer's."""
    was_training = body.training
    body.eval()
    try:
        with torch.no_grad():
            out = body(torch.zeros(1, channels, size, size))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"encoder {name} does not take {size} px images: {reason}") from None
    finally:
        body.train(was_training)
    if not isinstance(out, torch.Tensor) or out.ndim != 2:
        raise ValueError(f"encoder {name} does not give one vector for each image")
    return out.shape[1]
