"""Recipes of views by name: a public function here is a preset that `--views` accepts."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from jessl.names import one_of, unknown
from jessl.views.recipe import View, Views

__all__ = ["byol", "simclr"]

# up to this side the published recipes for small images hold: half the colours, no blur
_SMALL_PX = 64


def simclr(
    size: int,
    *,
    strength: float | None = None,
    min_scale: float = 0.08,
    flip: float = 0.5,
    gray: float = 0.2,
    blur: float | None = None,
) -> Views:
    """Two like views by the recipe of SimCLR (Chen et al. 2020, appendix A and B.9).

    Args:
        size: side of the views, pixels.
        strength: of the colour jitter: brightness, contrast, saturation 0.8 x strength, hue
            0.2 x strength. None: 1, and 0.5 up to 64 pixels (their CIFAR-10 setting).
        min_scale: smallest share of the image's area in a crop.
        flip: probability of a horizontal flip; 0 where left and right differ in meaning (text).
        gray: probability of losing the colour.
        blur: probability of a blur. None: 0.5, and 0 up to 64 pixels (their CIFAR-10 setting).
    """
    small = size <= _SMALL_PX
    s = strength if strength is not None else (0.5 if small else 1.0)
    if s < 0:
        raise ValueError(f"strength must not be negative, got {s}")
    view = View(
        size=size,
        min_scale=min_scale,
        flip=flip,
        jitter=0.8 if s else 0.0,
        brightness=0.8 * s,
        contrast=0.8 * s,
        saturation=0.8 * s,
        hue=min(0.5, 0.2 * s),
        gray=gray,
        blur=blur if blur is not None else (0.0 if small else 0.5),
    )
    return Views((view, view))


def byol(size: int, *, min_scale: float = 0.08, flip: float = 0.5) -> Views:
    """Two unlike views by the recipe of BYOL (Grill et al. 2020, table 6).

    The first is always blurred (p = 1), the second rarely (.1) and sometimes solarized (.2).
    """
    first = View(
        size=size,
        min_scale=min_scale,
        flip=flip,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        gray=0.2,
        blur=1.0,
    )
    return Views((first, dataclasses.replace(first, blur=0.1, solarize=0.2)))


def preset(name: str, size: int, options: dict[str, Any] | None = None) -> Views:
    """The preset `name` for views of `size` pixels with `options` of its function.

    Raises:
        ValueError: for an unknown preset or option, with the nearest names.
    """
    make: Callable[..., Views] = globals()[one_of("views", name, __all__)]
    allowed = [p for p in inspect.signature(make).parameters if p != "size"]
    for option in options or {}:
        if option not in allowed:
            raise ValueError(unknown(f"option of views {name}", option, allowed))
    return make(size, **(options or {}))
