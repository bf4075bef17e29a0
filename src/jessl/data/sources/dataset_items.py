"""What an item of a data set holds: the image and the label in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jessl.data.decode.deep import GREY_MODES, StoredValues
from jessl.data.decode.image import decode, pixels
from jessl.data.decode.value_range import SIXTEEN_BITS, ValueRange

_IMAGE_KEYS = ("image", "img", "pixel_values", "x", 0)
_LABEL_KEYS = ("label", "target", "y", 1)


class NoImage(ValueError):
    """Something in the place of an image; the message names it, and what is expected."""


def image_of(item: object) -> Any:
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


def label_of(item: object) -> Any:
    """What stands in the place of the label, of whatever kind; None where there is nothing."""
    if isinstance(item, Mapping):
        return next((item[key] for key in _LABEL_KEYS if key in item), None)
    return item[1] if isinstance(item, list | tuple) and len(item) > 1 else None


def has_label(item: object) -> bool:
    """Whether an item has a place for a label, which may be empty."""
    if isinstance(item, Mapping):
        return any(key in item for key in _LABEL_KEYS)
    return isinstance(item, list | tuple) and len(item) > 1


@dataclass(frozen=True)
class EncodedImage:
    """An image that is an encoded file: its bytes, or its path."""

    data: bytes | Path


def checked(image: Any, *, any_numbers: bool = False) -> Image.Image | EncodedImage | np.ndarray:
    """The image itself where it is Pillow's or a file, else an array [h, w, c].

    Args:
        image: a Pillow image, an array [h, w] or [h, w, c], a tensor [h, w] or [c, h, w], the bytes
            of a file, or a dict with bytes and path, as Hugging Face's Image(decode=False) gives.
        any_numbers: whether arrays may hold other integers and floats than uint8, uint16 and floats
            in 0..1.

    Raises:
        NoImage: for anything else, with what is expected and what is there.
    """
    if isinstance(image, Image.Image):
        return image
    if (encoded := _encoded(image)) is not None:
        return encoded
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
    if any_numbers and array.dtype.kind in "iuf":
        return array
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            advice = (
                "take Normalize out of the transform (encoders normalise by themselves), or give "
                "the range of the values (value_range=)"
            )
            if low >= 0:
                advice = f"make values 0..255 uint8, and {advice}"
            raise NoImage(
                f"expected uint8, or floats in 0..1, got floats {low:.3g}..{high:.3g}; {advice}"
            )
    elif array.dtype not in (np.uint8, np.uint16):
        raise NoImage(
            f"expected uint8, uint16, or floats in 0..1, {got}; others need the range of their "
            "values (value_range=)"
        )
    return array


def _encoded(image: object) -> EncodedImage | None:
    if isinstance(image, bytes):
        return EncodedImage(image)
    if not isinstance(image, Mapping) or not {"bytes", "path"} & set(image):
        return None
    data, path = image.get("bytes"), image.get("path")
    if isinstance(data, bytes):
        return EncodedImage(data)
    return EncodedImage(Path(path)) if isinstance(path, str) and path else None


def is_deep(image: Image.Image | EncodedImage | np.ndarray) -> bool:
    """Whether an image that was `checked` is in memory, with more than 8 bits a channel."""
    if isinstance(image, Image.Image):
        return image.mode in GREY_MODES
    return isinstance(image, np.ndarray) and image.dtype != np.uint8


def in_memory(image: Image.Image | np.ndarray, *, floats_end_at_1: bool) -> StoredValues | None:
    """The values of an image that was `checked`; None where it has 8 bits."""
    if not is_deep(image):
        return None
    values = np.asarray(image)
    white = 1 if floats_end_at_1 and isinstance(image, np.ndarray) and is_float(image) else 65535
    return StoredValues(values if values.ndim == 3 else values[:, :, None], white=white)


def to_pixels(
    image: Image.Image | EncodedImage | np.ndarray, where: str, value_range: ValueRange | None
) -> np.ndarray:
    """An image that was `checked` as uint8 [h, w, c], contiguous.

    Raises:
        ValueError: where it cannot be decoded, or holds NaN.
    """
    if isinstance(image, EncodedImage):
        return decode(image.data, where, value_range=value_range)
    if isinstance(image, Image.Image):
        return pixels(image, where, value_range)
    if value_range is None and image.dtype.kind == "f":
        image = np.rint(255 * image).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = (value_range or SIXTEEN_BITS).to_uint8(image)
    return np.ascontiguousarray(image)


def is_float(image: object) -> bool:
    """Whether an image that was `checked` holds floats."""
    return "float" in str(getattr(image, "dtype", ""))


def is_integer(value: object) -> bool:
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


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
