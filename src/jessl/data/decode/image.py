"""Encoded images to uint8 arrays: everything that a folder of photographs may hold.

JPEG files take the fast path of `jessl.data.decode.jpeg`, all else is Pillow's.
"""

from __future__ import annotations

import io
import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from jessl.core.resources import available_memory
from jessl.core.validation import escape_control
from jessl.data.decode import deep, jpeg
from jessl.data.decode.deep import FileFacts, StoredValues, is_deep_colour, unknown_tiff
from jessl.data.decode.memory import LARGE_BYTES, MOST_DECODED_BYTES, one_large_at_a_time
from jessl.data.decode.pillow_warnings import ignore_pillow_warnings
from jessl.data.decode.value_range import SIXTEEN_BITS, ValueRange

# Only formats of photographs: Pillow's other plugins run foreign programs (EPS) or read vectors.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm", "pgm")

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
# the first bytes of files, as far as a PNG tells its bits
_SIGNATURE_BYTES = 32
# of a pixel of 16-bit colour: upper and lower bytes, alpha, their sum and the result
_DEEP_COLOUR_BYTES = 28
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# a read of a named pipe must not wait for a writer, nor Windows translate line ends
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# what one call of os.read takes on Linux; no image of the allowed number of pixels is larger
_MOST_BYTES = 0x7FFFF000
# bytes within which a JPEG file states its size, if it is not full of metadata
_HEAD_BYTES = 1 << 16
# pixels that are converted at a time: their intermediate values take up to 32 bytes each
_TILE_PIXELS = 1 << 20


class UnreadableImage(ValueError):
    """An image that cannot be decoded; the message is the one line "where: reason".

    Attributes:
        where: the path of the image, or the words that say where it lies.
        reason: what is wrong with it, in words.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[str, str]]:
        # an exception is otherwise rebuilt from its message alone, which fails with two arguments
        return type(self), (self.where, self.reason)


def decode(
    data: bytes | str | Path,
    where: str | None = None,
    *,
    fast: bool = False,
    value_range: ValueRange | None = None,
) -> np.ndarray:
    """Decode one image.

    Colour (RGB, CMYK, YCCK, palettes) becomes three channels, grey one. Transparency is laid on
    white; 16-bit grey is divided by 257 and rounded, of 16-bit colour the upper 8 bits are taken;
    the EXIF orientation is applied; of an animation the first frame counts. What a file is decides
    its content, never its name. From the first call on, Pillow's warnings about odd metadata and
    large images are ignored in this process.

    Pixels of JPEG files are those of libjpeg-turbo's exact transform and smooth chroma, and so
    equal Pillow's. A JPEG file that it decodes without a warning is an image, also where Pillow
    would stumble over its metadata; of others Pillow judges how much is bearable.

    Args:
        data: an encoded image, or the path of one, at most 2 GiB.
        where: what messages call the image; by default the path.
        fast: decode JPEG files with a coarser transform and chroma, in .91 (chroma 4:2:0) to .96
            (4:4:4) of the time; pixels are off by 1.3 levels on average and by up to 85.
        value_range: which stored values are black and white in images of more than 8 bits a
            channel, floating point included; None: 0 and 65535.

    Returns:
        uint8 [height, width, channels], contiguous and writable, channels 1 or 3, 0..255.

    Raises:
        UnreadableImage: when it is missing, empty, corrupt, truncated, of an unsupported kind, or
            has more than twice Pillow's `Image.MAX_IMAGE_PIXELS` pixels. No image takes more than
            2 GiB of memory, conversions included, and those that take more than 128 MiB are
            decoded one at a time.
    """
    where = _name(data) if where is None else where
    encoded = data if isinstance(data, bytes) else _read(data, where)
    plain = jpeg.decode(encoded, fast=fast)
    if plain is not None:
        return plain
    with _open(io.BytesIO(encoded), where) as image:
        needed = allowed_bytes(image, where, deep=value_range is not None)
        with one_large_at_a_time(needed):
            try:
                deep.refuse_mixed_up(image)
                if value_range is not None:
                    stored = deep.stored_values(encoded, image, upright)
                    if stored is not None:
                        return _from_stored(stored, value_range)
                image.load()
                return pixels(upright(image), where, value_range)
            except UnreadableImage:
                raise
            except MemoryError as error:
                if needed <= LARGE_BYTES and _is_memory_short(needed):
                    raise
                size = f"{image.width} x {image.height} pixels, as its header says"
                raise UnreadableImage(where, f"too large to decode: {size}") from error
            except Exception as error:  # Pillow's plugins raise whatever a corrupt file provokes
                raise UnreadableImage(where, reason_of(error, image.format)) from error


def header_size(data: bytes | str | Path, where: str | None = None) -> tuple[int, int]:
    """Height and width, in pixels, that `decode` would give, from the header alone.

    Raises:
        UnreadableImage: when the header cannot be read.
    """
    where = _name(data) if where is None else where
    plain = jpeg.header(data if isinstance(data, bytes) else _read(data, where, _HEAD_BYTES))
    if plain is not None:
        return plain.size
    with _file(data, where) as file, _open(file, where) as image:
        width, height = image.size
        # Pillow has turned the size of a TIFF already, and a PNG without EXIF in its header would
        # be decoded whole in search of it
        turned = image.format != "TIFF" and not (image.format == "PNG" and "exif" not in image.info)
        return (width, height) if turned and 5 <= _orientation(image) <= 8 else (height, width)


def file_facts(data: bytes | str | Path, where: str | None = None) -> FileFacts:
    """What the header of a file says about bits, bands and pages; pixels are not decoded.

    Raises:
        UnreadableImage: when the header cannot be read.
    """
    where = _name(data) if where is None else where
    head = data if isinstance(data, bytes) else _read(data, where, _SIGNATURE_BYTES)
    if head.startswith(_JPEG):
        return FileFacts()
    if head.startswith(_PNG):
        return FileFacts(deep=head[24:25] == b"\x10")
    with _file(data, where) as file, _open(file, where) as image:
        try:
            return deep.facts_of(image)
        except Exception as error:  # as in decode
            raise UnreadableImage(where, reason_of(error, image.format)) from error


def stored_values(data: bytes | str | Path, where: str | None = None) -> StoredValues | None:
    """The stored values of an image of more than 8 bits a channel; None where it has 8.

    Raises:
        UnreadableImage: as `decode`.
    """
    where = _name(data) if where is None else where
    encoded = data if isinstance(data, bytes) else _read(data, where)
    with _open(io.BytesIO(encoded), where) as image:
        needed = allowed_bytes(image, where, deep=True)
        with one_large_at_a_time(needed):
            try:
                return deep.stored_values(encoded, image, upright)
            except Exception as error:  # as in decode
                raise UnreadableImage(where, reason_of(error, image.format)) from error


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
    if mode == "I" or mode in _SIXTEEN_BIT or (mode == "F" and value_range is not None):
        return _from_sixteen_bits(image, clear, where, value_range)
    try:
        if mode in ("LA", "La") or (mode in ("1", "L") and clear is not None):
            return _on_white(np.asarray(image.convert("LA")))
        if mode in ("RGBA", "RGBa", "PA") or (mode in ("P", "RGB") and clear is not None):
            return _on_white(np.asarray(image.convert("RGBA")))
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


def _read(path: str | Path, where: str, most: int | None = None) -> bytes:
    """The bytes of a file, at most the first `most`."""
    try:
        # two thirds of the time of Path.read_bytes
        descriptor = os.open(path, _READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                kind = "Is a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
                raise UnreadableImage(where, f"cannot be read: {kind}")
            if most is None and status.st_size > _MOST_BYTES:
                raise UnreadableImage(
                    where, f"too large: {status.st_size} bytes, allowed are {_MOST_BYTES}"
                )
            wanted = min(status.st_size, most or _MOST_BYTES)
            data = os.read(descriptor, wanted)
            while len(data) < wanted and (more := os.read(descriptor, wanted - len(data))):
                data += more
            return data
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise UnreadableImage(where, "no such file") from None
    except OSError as error:
        raise UnreadableImage(where, reason_of(error, None)) from error


def _file(data: bytes | str | Path, where: str) -> BinaryIO:
    if isinstance(data, bytes):
        return io.BytesIO(data)
    try:
        return Path(data).open("rb")
    except OSError as error:
        raise UnreadableImage(where, reason_of(error, None)) from error


def _open(file: BinaryIO, where: str) -> ImageFile.ImageFile:
    ignore_pillow_warnings()
    try:
        return Image.open(file, formats=FORMATS)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        size = file.seek(0, io.SEEK_END)
        kinds = ", ".join(FORMATS)
        reason = unknown_tiff(file) or (
            f"corrupt, or not an image: none of {kinds} in these {size} bytes"
        )
        raise UnreadableImage(where, reason if size else "empty file (0 bytes)") from None
    except Exception as error:  # as in decode
        raise UnreadableImage(where, reason_of(error, None)) from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        # pixels are sound where EXIF is not: cameras and editors write broken EXIF blocks
        return 1


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    turn = _TURNS.get(_orientation(image))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.format = image.format
    return turned


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


def _from_stored(stored: StoredValues, value_range: ValueRange) -> np.ndarray:
    result = value_range.to_uint8(stored.values)
    if stored.alpha is None:
        return result
    alpha = np.rint(255 * stored.alpha).astype(np.uint8)
    return _on_white(np.concatenate([result, alpha], axis=2))


def _on_white(image: np.ndarray) -> np.ndarray:
    """Uint8 [h, w, channels + alpha] composited on white."""
    colour, alpha = image[:, :, :-1].astype(np.uint32), image[:, :, -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def allowed_bytes(image: ImageFile.ImageFile, where: str, *, deep: bool) -> int:
    """Bytes that decoding an opened file takes: as Pillow stores it, turned, and as an array.

    With `deep` values of 16 bits are wanted where the file has them.
    """
    needed = _bytes_per_pixel(image, deep) * image.width * image.height
    if needed > MOST_DECODED_BYTES:
        reason = f"too large: decoding takes {needed} bytes, allowed are {MOST_DECODED_BYTES}"
        raise UnreadableImage(where, reason)
    return needed


def _bytes_per_pixel(image: ImageFile.ImageFile, deep: bool) -> int:
    if deep and is_deep_colour(image):
        return _DEEP_COLOUR_BYTES
    stored = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode in _SIXTEEN_BIT else 4)
    grey = image.mode in ("1", "L", "I", "F", *_SIXTEEN_BIT)
    return 2 * stored + (1 if grey else 3)


def _is_memory_short(needed: int) -> bool:
    available = available_memory()
    return available is not None and available < 2 * needed + (64 << 20)


def reason_of(error: Exception, kind: str | None) -> str:
    """What is wrong with a file of a kind, from the error that decoding it raised."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return f"too large, perhaps a decompression bomb: {text}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return f"truncated {kind or 'image'}: {text}"
    return f"corrupt {kind or 'image'}: {text}"


def _name(data: bytes | str | Path) -> str:
    return f"image of {len(data)} bytes" if isinstance(data, bytes) else escape_control(str(data))
