"""Files of more than 8 bits a channel: their stored values, which Pillow's modes may not hold.

Pillow reads 16-bit colour as 8 bits a channel, the upper ones. Here such a file is decoded twice,
once for the upper and once for the lower bytes.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

GREY_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
# raw modes of 16-bit colour, and the order of their bytes: big, little or native
_COLOUR = re.compile(r"(RGB|RGBA|RGBX|RGBa);16([BLN])")
_GREY_ALPHA = "LA;16B"
_SUBFILE_TYPE, _BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _PLANAR = 254, 258, 277, 284
_REDUCED_IMAGE = 1
_COMMENT = re.compile(rb"#[^\r\n]*")


@dataclass(frozen=True, eq=False)
class StoredValues:
    """The values of an image of more than 8 bits a channel, as they are stored.

    Attributes:
        values: [h, w, 1 or 3], integers or floats.
        alpha: float64 [h, w, 1] in 0..1; None where it is opaque.
        white: the value that the format of the file calls white.
        low: the value that it calls black.
        inverted: whether black and white change places after that (MONOCHROME1 of DICOM).
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    white: float = 65535
    low: float = 0
    inverted: bool = False


@dataclass(frozen=True)
class FileFacts:
    """What the header of a file says about data that an image of 8 bits and 3 channels lacks.

    Attributes:
        deep: whether it has more than 8 bits a channel.
        bands_left_out: channels beside grey, red, green, blue and alpha.
        has_more_pages: whether it has further pages or frames; thumbnails do not count.
    """

    deep: bool = False
    bands_left_out: int = 0
    has_more_pages: bool = False


def facts_of(image: ImageFile.ImageFile) -> FileFacts:
    """The facts of an opened file; its pixels are not decoded."""
    deep = image.mode in GREY_MODES or is_deep_colour(image) or _is_mixed_up(image)
    if image.format != "TIFF":
        return FileFacts(deep, has_more_pages=bool(getattr(image, "is_animated", False)))
    tags = image.tag_v2  # type: ignore[attr-defined]
    used = 3 if image.mode == "RGBX" else len(image.getbands())
    bands = int(tags.get(_SAMPLES_PER_PIXEL, used))
    more = False
    if getattr(image, "is_animated", False):
        image.seek(1)
        more = not image.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED_IMAGE  # type: ignore[attr-defined]
        image.seek(0)
    return FileFacts(deep, max(bands - used, 0), more)


def stored_values(
    encoded: bytes, image: ImageFile.ImageFile, upright: Callable[[Image.Image], Image.Image]
) -> StoredValues | None:
    """The stored values of an opened file that is not decoded yet; None where it has 8 bits.

    Args:
        encoded: the file.
        image: the same, opened.
        upright: turns an image as its EXIF orientation says.

    Raises:
        ValueError, OSError: for a corrupt file, or one whose values cannot be read.
    """
    if _is_mixed_up(image):
        raise ValueError(MIXED_UP)
    if image.format == "PPM" and is_deep_colour(image):
        return _of_netpbm(encoded, image)
    if image.mode in GREY_MODES:
        clear = image.info.get("transparency")
        image.load()
        values = np.asarray(upright(image))[:, :, None]
        return StoredValues(values, (values != clear) * 1.0 if isinstance(clear, int) else None)
    if not is_deep_colour(image):
        return None
    raw = _raw_mode(image)
    if raw == _GREY_ALPHA:
        # two bytes of grey and two of alpha, read as if they were four channels of one byte
        bytes_ = np.asarray(_decoded(encoded, "RGBA", upright, "RGBA")).astype(np.uint16)
        grey, alpha = bytes_[:, :, :1] * 256 + bytes_[:, :, 1:2], bytes_[:, :, 2:3]
        return StoredValues(grey, (alpha * 256 + bytes_[:, :, 3:]) / 65535)
    match = _COLOUR.fullmatch(raw)
    assert match is not None
    order = {"little": "L", "big": "B"}[sys.byteorder] if match[2] == "N" else match[2]
    other = {"L": "B", "B": "L"}[order]
    channels = "RGBA" if match[1] == "RGBa" else match[1]
    stored = np.asarray(_decoded(encoded, f"{channels};16{order}", upright)).astype(np.uint16)
    stored *= 256
    stored += np.asarray(_decoded(encoded, f"{channels};16{other}", upright))
    values = stored[:, :, :3]
    clear = image.info.get("transparency")
    if channels == "RGBA":
        opacity = stored[:, :, 3:] / 65535
        if match[1] == "RGBa":
            # colours that were multiplied by opacity before
            plain: np.ndarray = np.minimum(values / np.maximum(opacity, 1 / 65535), 65535)
            return StoredValues(plain.astype(np.uint16), opacity)
        return StoredValues(values, opacity)
    if isinstance(clear, tuple):
        return StoredValues(values, (values != clear).any(axis=2, keepdims=True) * 1.0)
    return StoredValues(values)


MIXED_UP = (
    "16-bit colour that is stored band by band (planar) without compression is not supported: save "
    "it interleaved"
)


def refuse_mixed_up(image: ImageFile.ImageFile) -> None:
    """Refuse a TIFF whose bytes Pillow would mix up, without an error.

    Raises:
        ValueError: for 16-bit colour that is stored band by band without compression.
    """
    if _is_mixed_up(image):
        raise ValueError(MIXED_UP)


def unknown_tiff(file: BinaryIO) -> str | None:
    """Why a TIFF cannot be read whose bands or bits Pillow does not know; None where it is none."""
    try:
        file.seek(0)
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        bands, bits = int(tags[_SAMPLES_PER_PIXEL]), max(tags[_BITS_PER_SAMPLE])
    except Exception:  # a corrupt or another file
        return None
    return (
        f"a TIFF of {bands} bands of {bits} bits, stored in a way that is not supported: save 1 "
        "band, or 3 bands interleaved, of 8 or 16 bits, or read all bands with bands:PATH"
    )


def _is_mixed_up(image: ImageFile.ImageFile) -> bool:
    if image.format != "TIFF" or image.mode in (*GREY_MODES, "1", "L"):
        return False
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(_BITS_PER_SAMPLE, (1,))
    is_planar = tags.get(_PLANAR, 1) == 2 and image.tile and image.tile[0].codec_name != "libtiff"
    return bool(is_planar and max(bits) > 8)


def is_deep_colour(image: ImageFile.ImageFile) -> bool:
    """Whether an opened file has more than 8 bits a channel and a mode of 8 bits in Pillow."""
    if image.format == "PPM":
        return image.mode != "F" and _largest_of_netpbm(image) > 255
    raw = _raw_mode(image)
    return raw == _GREY_ALPHA or _COLOUR.fullmatch(raw) is not None


def _raw_mode(image: ImageFile.ImageFile) -> str:
    if not image.tile:
        return ""
    args = image.tile[0].args
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _decoded(
    encoded: bytes,
    raw: str,
    upright: Callable[[Image.Image], Image.Image],
    mode: str | None = None,
) -> Image.Image:
    """The image with another raw mode: other bytes of each value."""
    image = Image.open(io.BytesIO(encoded))
    assert isinstance(image, ImageFile.ImageFile)
    if mode is not None:
        image._mode = mode
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]
    image.load()
    return upright(image)


def _largest_of_netpbm(image: ImageFile.ImageFile) -> int:
    """The value that a PGM or PPM file calls white; Pillow scales others than 65535 to it."""
    if not image.tile:
        return 255
    args = image.tile[0].args
    if image.tile[0].codec_name == "raw":
        return 65535 if image.mode == "I" else 255
    return args[1] if isinstance(args, tuple) and isinstance(args[1], int) else 255


def _of_netpbm(encoded: bytes, image: ImageFile.ImageFile) -> StoredValues:
    largest, offset = _largest_of_netpbm(image), image.tile[0].offset
    channels = 3 if image.mode == "RGB" else 1
    shape = (image.height, image.width, channels)
    count = image.height * image.width * channels
    if encoded[1:2] in (b"2", b"3"):
        numbers = _COMMENT.sub(b"", encoded[offset:]).split()[:count]
        values = np.array([int(number) for number in numbers], np.int64)
    else:
        values = np.frombuffer(encoded[offset : offset + 2 * count], ">u2")
    if len(values) < count:
        raise ValueError(f"truncated: {len(values)} of {count} values")
    return StoredValues(values.reshape(shape), white=largest)
