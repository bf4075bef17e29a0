"""The view that an encoder judges: the centre of the image, nothing random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jessl.views.recipe import IMAGENET_MEAN, IMAGENET_STD, View
from jessl.views.sample import Params

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class CentralView:
    """One view: the central square, `crop_share` of the short side, resized to `size` pixels.

    Resizing is antialiased bilinear whatever the weights were trained with; timm's bicubic
    differs in the second decimal of a pixel.
    """

    size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    crop_share: float = 1.0

    def sample(
        self,
        ids: np.ndarray,
        epoch: int,
        seed: int,
        heights: np.ndarray,
        widths: np.ndarray,
    ) -> list[Params]:
        """Parameters of the central crop; ids, epoch and seed change nothing."""
        n = len(ids)
        side = np.rint(np.minimum(heights, widths) * self.crop_share).astype(np.int64)
        side = np.maximum(side, 1)
        return [
            {
                "crop_top_px": (heights - side) // 2,
                "crop_left_px": (widths - side) // 2,
                "crop_height_px": side,
                "crop_width_px": side,
                "flipped": np.zeros(n, bool),
                "brightness_factor": np.ones(n),
                "contrast_factor": np.ones(n),
                "saturation_factor": np.ones(n),
                "hue_shift": np.zeros(n),
                "jitter_order": np.tile(np.arange(4), (n, 1)),
                "grayed": np.zeros(n, bool),
                "blur_sigma_px": np.zeros(n),
                "solarized": np.zeros(n, bool),
            }
        ]

    def apply(
        self, images: np.ndarray | Sequence[np.ndarray], params: Sequence[Params]
    ) -> list[torch.Tensor]:
        """One tensor float32 [n, 3, size, size], normalised."""
        from jessl.views.cpu import apply_view

        return [apply_view(View(size=self.size), images, params[0], self.mean, self.std)]
