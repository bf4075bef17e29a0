"""The view for evaluating an encoder: the centre of the image, nothing random."""

from __future__ import annotations

from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.views.recipe import View
from jessl.views.views import Views


def central_view(
    size: int,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    crop_share: float = 1.0,
) -> Views:
    """One view: the central square, `crop_share` of the short side, resized to `size` pixels.

    Resizing is antialiased bilinear, whatever the weights were trained with; timm's bicubic
    resizing differs in the second decimal of a pixel.

    Example:
        views = central_view(encoder.preprocess.size)
    """
    return Views((View(size=size, crop="center", crop_share=crop_share, flip=0.0),), mean, std)
