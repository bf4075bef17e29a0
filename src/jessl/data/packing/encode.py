"""One image as it goes into a shard: its own bytes where they will do, else encoded anew."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jessl.core.validation import check_choice, check_int
from jessl.data.decode import jpeg
from jessl.data.decode.image import UnreadableImage
from jessl.data.sources.base import Source

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
# of JPEG files that must be encoded anew where no quality was asked for
DEFAULT_QUALITY = 90
_PNG = b"\x89PNG\r\n\x1a\n"
# the filter of PNG that stores each row less the one above
_UP = 2
# chunks that change neither the transparency nor the orientation that readers see
_PNG_CHUNKS = frozenset(
    b"IHDR IDAT IEND gAMA cHRM sRGB iCCP sBIT pHYs bKGD hIST tIME tEXt".split(b" ")
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How images are resized and encoded.

    Attributes:
        short_side: pixels that the shorter side is reduced to where it is longer; None: leave it.
        long_side: the same of the longer side; at most one of the two.
        quality: 1..100 of JPEG; None: lose nothing that need not be lost (see `pack`).
        subsampling: of the colours of JPEG: 4:4:4 (none), 4:2:2 or 4:2:0.

    Raises:
        ValueError: for any other value.
    """

    short_side: int | None = None
    long_side: int | None = None
    quality: int | None = None
    subsampling: str = "4:2:0"

    def __post_init__(self) -> None:
        for name in ("short_side", "long_side"):
            side = getattr(self, name)
            if side is not None:
                check_int(name, side, 1)
        if self.short_side is not None and self.long_side is not None:
            raise ValueError(
                f"short_side, long_side: expected at most one, got {self.short_side} and "
                f"{self.long_side}"
            )
        if self.quality is not None:
            check_int("quality", self.quality, 1, 100)
        check_choice("subsampling", self.subsampling, SUBSAMPLINGS)

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image of this height and width gets, in pixels; never larger."""
        side = max(height, width) if self.short_side is None else min(height, width)
        wanted = self.long_side if self.short_side is None else self.short_side
        if wanted is None or side <= wanted:
            return height, width
        return max(1, round(height * wanted / side)), max(1, round(width * wanted / side))


@dataclass(frozen=True, slots=True)
class Packed:
    """An encoded image.

    Attributes:
        data: the file.
        kind: its extension, jpg, png or tif.
        height, width: in pixels, as they are seen.
        kept: whether these are the bytes of the source.
        resized: whether it was made smaller.
        before: bytes of the file in the source; None where the source has no files.
    """

    data: bytes
    kind: str
    height: int
    width: int
    kept: bool
    resized: bool
    before: int | None


def packed(source: Source, index: int, recipe: Recipe) -> Packed:
    """Encode one image by the rule that `jessl.data.packing.pack` states.

    Every image is decoded, also one whose bytes are kept, so that none is packed unreadable.

    Raises:
        UnreadableImage: when it cannot be read, or is larger than JPEG can be (65,500 pixels).
    """
    if source.bands is not None:
        return _packed_bands(source, index, recipe)
    image = source.read(index)
    file = source.encoded(index)
    height, width = image.shape[:2]
    size = recipe.target(height, width)
    resized = size != (height, width)
    own = None if file is None else _kind(file)
    before = None if file is None else len(file)
    deep = source.value_range is None
    keep = file if file is not None and own and not resized and _is_plain(file, deep) else None
    if keep is None or (recipe.quality is not None):
        lossy = recipe.quality is not None or own == "jpg"
        values = None if lossy or not deep else _sixteen_bits(source, index)
        if values is None:
            data = _encoded(_reduced(image, size), lossy, recipe, source.where(index))
        else:
            data = _png_of_sixteen_bits(_resized(values, size))
        # a PNG file is no JPEG of the quality that was asked for, however small it is
        if keep is None or own != "jpg" or len(keep) > len(data):
            kind = "jpg" if lossy else "png"
            return Packed(data, kind, *size, kept=False, resized=resized, before=before)
    assert own is not None
    return Packed(keep, own, *size, kept=True, resized=False, before=before)


def _packed_bands(source: Source, index: int, recipe: Recipe) -> Packed:
    """All bands and bits: PNG of one or three bands, else TIFF."""
    image = source.read(index)
    size = recipe.target(*image.shape[:2])
    values = _resized(image, size)
    file = source.encoded(index)
    if values.shape[2] not in (1, 3):
        data, kind = _tiff_of_bands(values), "tif"
    elif values.dtype == np.uint8:
        picture = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)
        data, kind = _encoded(picture, False, recipe, source.where(index)), "png"
    else:
        data, kind = _png_of_sixteen_bits(values), "png"
    before = None if file is None else len(file)
    resized = size != image.shape[:2]
    return Packed(data, kind, *size, kept=False, resized=resized, before=before)


def _tiff_of_bands(values: np.ndarray) -> bytes:
    """A TIFF of uint8 or uint16 [h, w, c], its bands interleaved, without metadata."""
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(
        file,
        values,
        photometric="minisblack",
        planarconfig="contig",
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
    )
    return file.getvalue()


def _kind(file: bytes) -> str | None:
    return "jpg" if file.startswith(b"\xff\xd8\xff") else "png" if file.startswith(_PNG) else None


def _reduced(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if size == image.shape[:2]:
        return picture
    return picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _encoded(picture: Image.Image, lossy: bool, recipe: Recipe, where: str) -> bytes:
    file = io.BytesIO()
    if not lossy:
        picture.save(file, "PNG")
        return file.getvalue()
    quality = DEFAULT_QUALITY if recipe.quality is None else recipe.quality
    colour = {} if picture.mode == "L" else {"subsampling": recipe.subsampling}
    try:
        picture.save(file, "JPEG", quality=quality, optimize=True, **colour)
    except (OSError, ValueError) as error:
        reason = f"cannot be encoded as JPEG: {' '.join(str(error).split())}"
        raise UnreadableImage(where, reason) from error
    return file.getvalue()


def _sixteen_bits(source: Source, index: int) -> np.ndarray | None:
    """The values of an opaque image of more than 8 bits as uint16 [h, w, 1 or 3]; else None."""
    if not source.facts(index).deep:
        return None
    stored = source.stored_values(index)
    if stored is None or stored.alpha is not None or stored.values.dtype.kind not in "iu":
        return None
    if stored.low != 0 or stored.inverted:  # a window of DICOM, which PNG cannot state
        return None
    values = stored.values
    if values.shape[2] not in (1, 3) or values.min() < 0 or values.max() > 65535:
        return None
    if stored.white != 65535:
        values = np.rint(values / stored.white * 65535)
    return values.astype(np.uint16)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 or uint16 [h, w, c] at another height and width, by the filter of `_reduced`."""
    if size == values.shape[:2]:
        return values
    pictures = (Image.fromarray(values[:, :, c].astype(np.float32)) for c in range(values.shape[2]))
    channels = [
        np.asarray(picture.resize((size[1], size[0]), Image.Resampling.LANCZOS))
        for picture in pictures
    ]
    white = np.iinfo(values.dtype).max
    return np.rint(np.stack(channels, axis=2)).clip(0, white).astype(values.dtype)


def _png_of_sixteen_bits(values: np.ndarray) -> bytes:
    """A PNG of uint16 [h, w, 1 or 3]; Pillow writes none of 16-bit colour."""
    height, width, channels = values.shape
    rows = np.ascontiguousarray(values.astype(">u2")).view(np.uint8).reshape(height, -1)
    # each row less the one above, which compresses photographs well
    filtered = np.empty((height, 1 + rows.shape[1]), dtype=np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    colour = 0 if channels == 1 else 2
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b""))
    return _PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _is_plain(file: bytes, deep: bool) -> bool:
    """Whether any reader sees in a JPEG or PNG file what `decode` does: opaque, upright.

    8 bits a channel, and with `deep` also 16.
    """
    if file.startswith(_PNG):
        return _is_plain_png(file, (b"\x08", b"\x10") if deep else (b"\x08",))
    header = jpeg.header(file)
    return header is not None and header.components in (1, 3) and not 2 <= header.orientation <= 8


def _is_plain_png(file: bytes, allowed: tuple[bytes, ...]) -> bool:
    bits, colour = file[24:25], file[25:26]
    if bits not in allowed or colour not in (b"\x00", b"\x02"):
        return False
    at = len(_PNG)
    while at + 8 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        text = file[at + 8 : at + 8 + length].lower() if kind == b"tEXt" else b""
        if kind not in _PNG_CHUNKS or b"exif" in text or b"orientation" in text:
            return False
        if kind == b"IEND":
            return True
        at += 12 + length
    return False
