"""What a view is: frozen recipes, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from jessl.views.sample import Params

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class View:
    """The recipe of one view: a random resized crop, then colour, in torchvision's semantics.

    Probabilities are in [0, 1]; an operation with probability 0 is not in the recipe.

    Attributes:
        size: side of the square view, pixels.
        min_scale, max_scale: share of the image's area in the crop.
        min_ratio, max_ratio: width / height of the crop.
        flip: probability of a horizontal flip.
        jitter: probability that the colours are jittered, in a random order of the four.
        brightness, contrast, saturation: reach of the factor, drawn from [1 - x, 1 + x].
        hue: reach of the shift in turns of the hue circle, at most 0.5.
        gray: probability of losing the colour.
        blur: probability of a Gaussian blur with a sigma drawn from `blur_sigma_px`.
        solarize: probability that pixels at or above one half are inverted.
    """

    size: int
    min_scale: float = 0.08
    max_scale: float = 1.0
    min_ratio: float = 3 / 4
    max_ratio: float = 4 / 3
    flip: float = 0.5
    jitter: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    solarize: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {self.size}")
        for name in ("flip", "jitter", "gray", "blur", "solarize"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability in [0, 1], got {getattr(self, name)}")
        if not 0 < self.min_scale <= self.max_scale <= 1:
            raise ValueError(
                "crop scales must satisfy 0 < min_scale <= max_scale <= 1, "
                f"got {self.min_scale} and {self.max_scale}"
            )
        if not 0 < self.min_ratio <= self.max_ratio:
            raise ValueError(
                f"crop ratios must satisfy 0 < min_ratio <= max_ratio, "
                f"got {self.min_ratio} and {self.max_ratio}"
            )
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue must be in [0, 0.5], got {self.hue}")
        if not 0 < self.blur_sigma_px[0] <= self.blur_sigma_px[1]:
            raise ValueError(
                f"blur_sigma_px must be two rising positive numbers, got {self.blur_sigma_px}"
            )

    @property
    def blur_kernel_px(self) -> int:
        """Side of the blur kernel: a tenth of the view (SimCLR, appendix A), odd, at least 3."""
        return max(3, int(0.1 * self.size) | 1)


@dataclass(frozen=True)
class Views:
    """The recipe of k views of an image and the normalisation that the encoder expects.

    `sample` draws the parameters, `apply` uses them; nothing else is random.
    """

    recipes: tuple[View, ...]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not self.recipes:
            raise ValueError("views need at least one recipe, got none")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")

    def __len__(self) -> int:
        return len(self.recipes)

    def normalised(
        self, mean: tuple[float, float, float], std: tuple[float, float, float]
    ) -> Views:
        """The same recipe with another normalisation."""
        return dataclasses.replace(self, mean=mean, std=std)

    def sample(
        self,
        ids: np.ndarray,
        epoch: int,
        seed: int,
        heights: np.ndarray,
        widths: np.ndarray,
    ) -> list[Params]:
        """Parameters of all views of n images: see `jessl.views.sample.sample_view`.

        Args:
            ids: int64 [n], stable ids.
            epoch, seed: what the draw depends on besides the ids.
            heights, widths: int [n], sizes of the images, pixels.
        """
        from jessl.views.sample import sample_view

        return [
            sample_view(view, ids, heights, widths, seed=seed, epoch=epoch, position=k)
            for k, view in enumerate(self.recipes)
        ]

    def apply(
        self, images: np.ndarray | Sequence[np.ndarray], params: Sequence[Params]
    ) -> list[torch.Tensor]:
        """k tensors float32 [n, 3, size, size], normalised.

        Args:
            images: uint8 [n, h, w, c] or n arrays uint8 [h, w, c], c 1 or 3.
            params: what `sample` gave for these images.
        """
        from jessl.views.cpu import apply_view

        return [
            apply_view(view, images, p, self.mean, self.std)
            for view, p in zip(self.recipes, params, strict=True)
        ]
