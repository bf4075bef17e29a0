"""All bands and bits of a file, as it stores them: uint8 or uint16 [h, w, bands].

Pillow decodes what its modes hold: one band, grey with alpha, RGB and RGBA of 8 or 16 bits. TIFF
files of other bands are tifffile's.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from jessl.data.decode import deep, jpeg
from jessl.data.decode.deep import StoredValues
from jessl.data.decode.dicom import is_dicom
from jessl.data.decode.image import (
    FORMATS,
    UnreadableImage,
    allowed_bytes,
    dicom_header,
    dicom_values,
    reason_of,
    upright,
)
from jessl.data.decode.memory import MOST_DECODED_BYTES, one_large_at_a_time
from jessl.data.decode.pillow_warnings import ignore_pillow_warnings
from jessl.data.decode.tiff_lzw import needs_imagecodecs, without_lzw
from jessl.data.decode.value_range import MOST_BANDS, SIXTEEN_BITS, ValueRange

if TYPE_CHECKING:
    import tifffile

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_SUBFILE_TYPE, _REDUCED_IMAGE = 254, 1
# what the orientation of a TIFF does to rows and columns: (transposed, rows and columns reversed)
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True)
class BandHeader:
    """What a file holds, from its header.

    Attributes:
        height, width: upright, pixels.
        bands: their number.
        deep: whether there are more than 8 bits a band.
    """

    height: int
    width: int
    bands: int
    deep: bool


def band_header(encoded: bytes, where: str) -> BandHeader:
    """Size, bands and bits of an encoded image; pixels are not decoded.

    Raises:
        UnreadableImage: when the header cannot be read, or tifffile is missing.
    """
    plain = jpeg.header(encoded)
    if plain is not None:
        return BandHeader(*plain.size, 1 if plain.components == 1 else 3, False)
    image = None if is_dicom(encoded) else _opened(encoded, where)
    if image is not None:
        width, height = image.size
        bands = len(_mode(image))
        is_deep = image.mode in deep.GREY_MODES or deep.is_deep_colour(image)
        return BandHeader(height, width, bands, is_deep)
    if is_dicom(encoded):
        height, width, bands = dicom_header(encoded, where)
        return BandHeader(height, width, bands, bands == 1)
    with _tiff(encoded, where) as pages:
        height, width, bands = pages.shape
        return BandHeader(height, width, bands, pages.dtype.itemsize > 1)


def stored_bands(encoded: bytes, where: str) -> StoredValues:
    """The values of all bands: [h, w, bands], upright, integers or floats as they are stored.

    `alpha` is None: an alpha channel is a band.

    Raises:
        UnreadableImage: for a corrupt file, or one of more than MOST_BANDS bands.
    """
    plain = jpeg.decode(encoded, fast=False)
    if plain is not None:
        return StoredValues(plain)
    if is_dicom(encoded):
        return dicom_values(encoded, where)
    image = _opened(encoded, where)
    try:
        if image is not None:
            needed = allowed_bytes(image, where, deep=True)
            with one_large_at_a_time(needed):
                return _by_pillow(encoded, image)
        with _tiff(encoded, where) as pages, one_large_at_a_time(pages.needed_bytes):
            return StoredValues(pages.values(encoded, where))
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage(where, "too large to decode") from error
    except Exception as error:  # the libraries raise whatever a corrupt file provokes
        raise UnreadableImage(where, reason_of(error, "TIFF" if image is None else None)) from error


def to_unsigned(stored: StoredValues, where: str, value_range: ValueRange | None) -> np.ndarray:
    """Stored values as uint8 or uint16: integers of up to 16 bits as they are, others by a range.

    Args:
        stored: from `stored_bands`.
        where: what messages call the image.
        value_range: which values become 0 and 65535; uint8 stays as it is. None: those that the
            file calls black and white.

    Raises:
        UnreadableImage: for NaN, and for other types or values without a range.
    """
    values = stored.values
    if values.dtype == np.uint8:
        return np.ascontiguousarray(255 - values if stored.inverted else values)
    of_file = ValueRange(stored.low, stored.white)
    if value_range is None and of_file != SIXTEEN_BITS:
        value_range = of_file
    if value_range is not None:
        try:
            result = value_range.to_uint16(values)
        except ValueError as error:
            raise UnreadableImage(where, str(error)) from None
        return np.ascontiguousarray(65535 - result if stored.inverted else result)
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if low >= 0 and high <= SIXTEEN_BITS.high:
            result = values.astype(np.uint16)
            return np.ascontiguousarray(65535 - result if stored.inverted else result)
        raise UnreadableImage(
            where,
            f"values {low}..{high}, allowed are 0..65535, or others with their range (--range)",
        )
    raise UnreadableImage(
        where, f"values of type {values.dtype}: give the range of its values (--range)"
    )


def _opened(encoded: bytes, where: str) -> ImageFile.ImageFile | None:
    """The file opened by Pillow; None for a TIFF that Pillow cannot hold."""
    is_tiff = encoded[:4] in _TIFF
    if not encoded:
        raise UnreadableImage(where, "empty file (0 bytes)")
    ignore_pillow_warnings()
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except UnidentifiedImageError:
        if is_tiff:
            return None
        raise UnreadableImage(
            where, f"corrupt, or not an image: none of {', '.join(FORMATS)}"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # as in stored_bands
        if is_tiff:
            return None
        raise UnreadableImage(where, reason_of(error, None)) from error
    if not is_tiff:
        return image
    try:
        facts = deep.facts_of(image)
        deep.refuse_mixed_up(image)
    except Exception:
        return None
    # Pillow reads neither further pages nor further bands, and calls unknown fourth bands alpha;
    # of a palette it reads the colours, tifffile the numbers
    has_one_band = image.mode in ("1", "L", "P", *deep.GREY_MODES)
    return image if has_one_band and not (facts.bands_left_out or facts.has_more_pages) else None


def _mode(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """The bands that `_by_pillow` gives."""
    if image.mode in ("1", *deep.GREY_MODES):
        return ("L",)
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image.getbands()
    return ("R", "G", "B", "A") if "transparency" in image.info else ("R", "G", "B")


def _by_pillow(encoded: bytes, image: ImageFile.ImageFile) -> StoredValues:
    stored = deep.stored_values(encoded, image, upright)
    if stored is not None:
        if stored.alpha is None or image.mode in deep.GREY_MODES:
            return replace(stored, alpha=None)
        alpha = np.rint(stored.alpha * SIXTEEN_BITS.high).astype(stored.values.dtype)
        return replace(stored, values=np.concatenate([stored.values, alpha], axis=2), alpha=None)
    bands = "".join(_mode(image))
    image.load()
    values = np.array(upright(image).convert(bands))
    return StoredValues(values.reshape(*values.shape[:2], -1))


class _Pages:
    """The first page of a TIFF, or all where each is one band of the same size."""

    def __init__(self, file: tifffile.TiffFile) -> None:
        self.file = file
        pages: Any = file.pages
        first: Any = pages[0]
        self.pages = [first]
        height, width = int(first.imagelength), int(first.imagewidth)
        samples = int(first.samplesperpixel)
        if samples == 1 and len(pages) > 1:
            self.pages += [
                page
                for page in (pages[k] for k in range(1, min(len(pages), MOST_BANDS + 1)))
                if (page.imagelength, page.imagewidth) == (height, width)
                and page.samplesperpixel == 1
                and page.dtype == first.dtype
                and not page.subfiletype & _REDUCED_IMAGE
            ]
        orientation = first.tags.get("Orientation")
        self.turn = _TURNS.get(1 if orientation is None else int(orientation.value))
        bands = max(samples, len(self.pages))
        self.dtype = np.dtype(first.dtype)
        if first.imagedepth != 1 or 0 in (height, width):
            raise ValueError("expected an image of one plane with pixels")
        if bands > MOST_BANDS:
            raise ValueError(f"{bands} bands or more, expected at most {MOST_BANDS}")
        if self.turn is not None and self.turn[0]:
            height, width = width, height
        self.shape = (height, width, bands)
        self.needed_bytes = 3 * height * width * bands * self.dtype.itemsize
        if self.needed_bytes > MOST_DECODED_BYTES:
            raise ValueError(
                f"too large: decoding takes {self.needed_bytes} bytes, allowed are "
                f"{MOST_DECODED_BYTES}"
            )

    def values(self, encoded: bytes, where: str) -> np.ndarray:
        """[h, w, bands], upright.

        Args:
            encoded: the bytes of the file.
            where: what messages call it.
        """
        parts = []
        for page in self.pages:
            if (missing := needs_imagecodecs(page)) is not None:
                raise UnreadableImage(
                    where, f"TIFF with {missing}, which needs imagecodecs: pip install imagecodecs"
                )
        self.file, pages = without_lzw(self.file, encoded, self.pages)
        for page in pages:
            values = np.asarray(page.asarray(maxworkers=1))
            if values.ndim == 2:
                values = values[:, :, None]
            elif page.planarconfig == 2:
                values = values.transpose(1, 2, 0)
            parts.append(values)
        stored = np.concatenate(parts, axis=2)
        if self.turn is None:
            return stored
        transposed, rows, columns = self.turn
        if transposed:
            stored = stored.transpose(1, 0, 2)
        return stored[:: -1 if rows else 1, :: -1 if columns else 1]

    def __enter__(self) -> _Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _tiff(encoded: bytes, where: str) -> _Pages:
    try:
        import tifffile
    except ImportError:
        raise UnreadableImage(
            where, "a TIFF of several bands needs tifffile: pip install 'jessl[bands]'"
        ) from None
    try:
        return _Pages(tifffile.TiffFile(io.BytesIO(encoded)))
    except Exception as error:  # as in stored_bands
        raise UnreadableImage(where, reason_of(error, "TIFF")) from error
