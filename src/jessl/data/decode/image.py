"""Encoded images to uint8 arrays: everything that a folder of photographs may hold.

JPEG files take the fast path of `jessl.data.decode.jpeg`, all else is Pillow's.
"""

from __future__ import annotations

import io
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from jessl.core.resources import available_memory
from jessl.core.validation import escape_control
from jessl.data.decode import deep, dicom, jpeg
from jessl.data.decode.deep import FileFacts, StoredValues, is_deep_colour, unknown_tiff
from jessl.data.decode.memory import LARGE_BYTES, MOST_DECODED_BYTES, one_large_at_a_time
from jessl.data.decode.pillow_pixels import SIXTEEN_BIT_MODES, on_white, pixels
from jessl.data.decode.pillow_warnings import ignore_pillow_warnings
from jessl.data.decode.unreadable import UnreadableImage, reason_of
from jessl.data.decode.value_range import ValueRange

# Only formats of photographs: Pillow's other plugins run foreign programs (EPS) or read vectors.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
EXTENSIONS = (
    "jpg",
    "jpeg",
    "png",
    "webp",
    "bmp",
    "tif",
    "tiff",
    "gif",
    "ppm",
    "pgm",
    "dcm",
    "dicom",
)

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
# the first bytes of files, which show that it is DICOM, and of a PNG the bits
_SIGNATURE_BYTES = 132
# of a pixel of 16-bit colour: upper and lower bytes, alpha, their sum and the result
_DEEP_COLOUR_BYTES = 28
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# a read of a named pipe must not wait for a writer, nor Windows translate line ends
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# what one call of os.read takes on Linux; no image of the allowed number of pixels is larger
_MOST_BYTES = 0x7FFFF000
# bytes within which a JPEG file states its size, if it is not full of metadata
_HEAD_BYTES = 1 << 16


Read = TypeVar("Read")


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
    the EXIF orientation is applied; of an animation the first frame counts. Grey DICOM files are
    seen through their first window, or the range. What a file is decides
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
    if dicom.is_dicom(encoded):
        return _from_stored(dicom_values(encoded, where), value_range, where)
    with _open(io.BytesIO(encoded), where) as image:
        needed = allowed_bytes(image, where, deep=value_range is not None)
        with one_large_at_a_time(needed):
            try:
                deep.refuse_mixed_up(image)
                if value_range is not None:
                    stored = deep.stored_values(encoded, image, upright)
                    if stored is not None:
                        return _from_stored(stored, value_range, where)
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
    head = data if isinstance(data, bytes) else _read(data, where, _HEAD_BYTES)
    plain = jpeg.header(head)
    if plain is not None:
        return plain.size
    if dicom.is_dicom(head):
        return _dicom(dicom.header, data, where)[:2]
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
    if dicom.is_dicom(head):
        return _dicom(dicom.facts, data, where)
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
    if dicom.is_dicom(encoded):
        return dicom_values(encoded, where)
    with _open(io.BytesIO(encoded), where) as image:
        needed = allowed_bytes(image, where, deep=True)
        with one_large_at_a_time(needed):
            try:
                return deep.stored_values(encoded, image, upright)
            except Exception as error:  # as in decode
                raise UnreadableImage(where, reason_of(error, image.format)) from error


def dicom_values(encoded: bytes, where: str) -> StoredValues:
    """The first frame of a DICOM file.

    Raises:
        UnreadableImage: for a file without pixels or a corrupt one.
    """
    return _dicom(dicom.stored_values, encoded, where)


def dicom_header(encoded: bytes, where: str) -> tuple[int, int, int]:
    """Height, width and channels of a DICOM file.

    Raises:
        UnreadableImage: as `dicom_values`.
    """
    return _dicom(dicom.header, encoded, where)


def _dicom(read: Callable[[bytes], Read], data: bytes | str | Path, where: str) -> Read:
    encoded = data if isinstance(data, bytes) else _read(data, where)
    try:
        return read(encoded)
    except MemoryError:
        raise
    except ValueError as error:
        raise UnreadableImage(where, " ".join(str(error).split())) from error
    except Exception as error:  # pydicom raises whatever a corrupt file provokes
        raise UnreadableImage(where, reason_of(error, "DICOM file")) from error


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


def _from_stored(stored: StoredValues, value_range: ValueRange | None, where: str) -> np.ndarray:
    """Stored values as uint8 by a range; None: that of the file."""
    try:
        result = (value_range or ValueRange(stored.low, stored.white)).to_uint8(stored.values)
    except ValueError as error:
        raise UnreadableImage(where, str(error)) from None
    if stored.inverted:
        result = 255 - result
    if stored.alpha is None:
        return result
    alpha = np.rint(255 * stored.alpha).astype(np.uint8)
    return on_white(np.concatenate([result, alpha], axis=2))


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
    stored = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode in SIXTEEN_BIT_MODES else 4)
    grey = image.mode in ("1", "L", "I", "F", *SIXTEEN_BIT_MODES)
    return 2 * stored + (1 if grey else 3)


def _is_memory_short(needed: int) -> bool:
    available = available_memory()
    return available is not None and available < 2 * needed + (64 << 20)


def _name(data: bytes | str | Path) -> str:
    return f"image of {len(data)} bytes" if isinstance(data, bytes) else escape_control(str(data))
