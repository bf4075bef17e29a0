"""Pixels of Pillow's images, of any of its modes, as uint8."""

from __future__ import annotations

import numpy as np
from PIL import Image

from jessl.data.decode.unreadable import UnreadableImage, reason_of
from jessl.data.decode.value_range import SIXTEEN_BITS, ValueRange

SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
# pixels that are converted at a time: their intermediate values take up to 32 bytes each
_TILE_PIXELS = 1 << 20


def pixels(image: Image.Image, where: str, value_range: ValueRange | None = None) -> np.ndarray:
    """The pixels of a Pillow image as uint8 [height, width, 1 or 3]; see `decode`.

    Raises:
        UnreadableImage: when its mode has no meaning as an 8-bit image, or it has no pixels.
    """
    if 0 in image.size:
        raise UnreadableImage(where, f"zero-sized ({image.width}x{image.height} pixels)")
    width, height = image.size
    if width * height <= _TILE_PIXELS:
        return _pixels(image, where, value_range)
    # tile by tile: the intermediate values of a large image take ten times the memory of the result
    image.load()
    columns = min(width, _TILE_PIXELS)
    rows = max(1, _TILE_PIXELS // columns)
    result: np.ndarray | None = None
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            box = (left, top, min(left + columns, width), min(top + rows, height))
            tile = _pixels(image.crop(box), where, value_range)
            if result is None:
                result = np.empty((height, width, tile.shape[2]), dtype=np.uint8)
            result[box[1] : box[3], box[0] : box[2]] = tile
    assert result is not None
    return result


def _pixels(image: Image.Image, where: str, value_range: ValueRange | None) -> np.ndarray:
    mode = image.mode
    clear = image.info.get("transparency")
    if mode == "I" or mode in SIXTEEN_BIT_MODES or (mode == "F" and value_range is not None):
        return _from_sixteen_bits(image, clear, where, value_range)
    try:
        if mode in ("LA", "La") or (mode in ("1", "L") and clear is not None):
            return on_white(np.asarray(image.convert("LA")))
        if mode in ("RGBA", "RGBa", "PA") or (mode in ("P", "RGB") and clear is not None):
            return on_white(np.asarray(image.convert("RGBA")))
        if mode in ("1", "L"):
            return np.array(image.convert("L"))[:, :, None]
        if mode in ("RGB", "P", "CMYK", "YCbCr", "HSV", "RGBX"):
            return np.array(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise UnreadableImage(where, reason_of(error, image.format)) from error
    raise UnreadableImage(
        where,
        f"pixels of kind {mode!r} (floating point, LAB, ...) are not supported: save it as "
        "8-bit grey or RGB"
        + ("" if mode != "F" else ", or give the range of its values (--range)"),
    )


def _from_sixteen_bits(
    image: Image.Image, clear: object, where: str, value_range: ValueRange | None
) -> np.ndarray:
    values = np.asarray(image)
    if value_range is None and (values.min() < 0 or values.max() > 65535):
        raise UnreadableImage(
            where,
            f"32-bit grey values {values.min()}..{values.max()}, allowed are 0..65535, or others "
            "with their range (--range)",
        )
    try:
        result = (value_range or SIXTEEN_BITS).to_uint8(values)
    except ValueError as error:
        raise UnreadableImage(where, str(error)) from None
    if isinstance(clear, int):
        result[values == clear] = 255
    return result[:, :, None]


def on_white(image: np.ndarray) -> np.ndarray:
    """Uint8 [h, w, channels + alpha] composited on white."""
    colour, alpha = image[:, :, :-1].astype(np.uint32), image[:, :, -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
