"""What an item of a data set holds: the image and the label in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

_IMAGE_KEYS = ("image", "img", "pixel_values", "x", 0)
_LABEL_KEYS = ("label", "target", "y", 1)


class NoImage(ValueError):
    """Something in the place of an image; the message names it, and what is expected."""


def image_of(item: Any) -> Any:
    """What stands in the place of the image: of a dict by its key, of a tuple the first.

    Raises:
        NoImage: for a dict without such a key, or an empty tuple.
    """
    if isinstance(item, Mapping):
        for key in _IMAGE_KEYS:
            if key in item:
                return item[key]
        keys, wanted = ", ".join(map(str, item)), ", ".join(map(str, _IMAGE_KEYS))
        raise NoImage(f"no image in a dict with {keys}; it is looked for under {wanted}")
    if isinstance(item, list | tuple):
        if not item:
            raise NoImage("no image in an empty item")
        return item[0]
    return item


def label_of(item: Any) -> Any:
    """What stands in the place of the label, of whatever kind; None where there is nothing."""
    if isinstance(item, Mapping):
        return next((item[key] for key in _LABEL_KEYS if key in item), None)
    return item[1] if isinstance(item, list | tuple) and len(item) > 1 else None


def has_label(item: Any) -> bool:
    """Whether an item has a place for a label, which may be empty."""
    if isinstance(item, Mapping):
        return any(key in item for key in _LABEL_KEYS)
    return isinstance(item, list | tuple) and len(item) > 1


def checked(image: Any) -> Image.Image | np.ndarray:
    """The image itself where it is Pillow's, else an array uint8 or float in 0..1 [h, w, c].

    Args:
        image: a Pillow image, an array [h, w] or [h, w, c], or a tensor [h, w] or [c, h, w].

    Raises:
        NoImage: for anything else, with what is expected and what is there.
    """
    if isinstance(image, Image.Image):
        return image
    if not (isinstance(image, np.ndarray) or _is_tensor(image)):
        raise NoImage(f"expected a Pillow image, an array or a tensor, got {type(image).__name__}")
    array, got = _as_array(image), f"got {image.dtype} {list(image.shape)}"
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and _is_tensor(image):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        order = "[c, h, w]" if _is_tensor(image) else "[h, w, c]"
        raise NoImage(f"expected an image [h, w] or {order} with c 1..4, {got}")
    if 0 in array.shape:
        raise NoImage(f"expected an image with pixels, {got}")
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            advice = "take Normalize out of the transform (encoders normalise by themselves)"
            if low >= 0:
                advice = "make values 0..255 uint8, and take Normalize out of the transform"
            raise NoImage(
                f"expected uint8, or floats in 0..1, got floats {low:.3g}..{high:.3g}; {advice}"
            )
    elif array.dtype != np.uint8:
        raise NoImage(f"expected uint8, or floats in 0..1, {got}")
    return array


def is_float(image: Any) -> bool:
    """Whether an image that was `checked` holds floats."""
    return not isinstance(image, Image.Image) and "float" in str(image.dtype)


def is_integer(value: Any) -> bool:
    """Whether a value is one integer, in Python, numpy or torch."""
    if isinstance(value, int | np.integer):
        return True
    return getattr(value, "ndim", None) == 0 and "int" in str(getattr(value, "dtype", ""))


def _as_array(image: Any) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    tensor = image.detach().cpu()
    # numpy knows no bfloat16
    return np.asarray((tensor.double() if tensor.is_floating_point() else tensor).numpy())


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
