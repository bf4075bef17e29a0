"""TIFF files of LZW without imagecodecs: Pillow decodes the segments, tifffile does the rest."""

from __future__ import annotations

import io
import struct
import zlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import tifffile

_LZW, _DEFLATE, _ZSTD = 5, 8, (34926, 50000)
# type of a tag's value: 32 bits
_LONG = 4


def without_lzw(
    file: tifffile.TiffFile, encoded: bytes, pages: list[tifffile.TiffPage]
) -> tuple[tifffile.TiffFile, list[tifffile.TiffPage]]:
    """The file and its pages; where tifffile cannot decode their LZW, with segments of deflate.

    The decoded segments are appended in memory, and the pages refer to them; byte order and
    predictor stay those of the file.

    Args:
        file: open.
        encoded: its bytes.
        pages: of the file, whose size has been checked.

    Raises:
        ValueError, OSError: for a segment that is damaged.
    """
    import tifffile

    is_packed = [int(page.compression) == _LZW for page in pages]
    if not any(is_packed) or _decodes(_LZW):
        return file, pages
    parts, end = [encoded], len(encoded)
    places: list[tuple[list[int], list[int]]] = []
    for page in (page for page, packed in zip(pages, is_packed, strict=True) if packed):
        offsets, counts = [], []
        for k, (offset, count) in enumerate(
            zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            # a segment that is not stored has no bytes
            segment = b""
            if count:
                decoded = decoded_lzw(encoded[offset : offset + count], *_shape(page, k))
                # stored, but as deflate: tifffile undoes no predictor of plain segments
                segment = zlib.compress(decoded, 0)
            parts.append(segment)
            offsets.append(end if count else 0)
            counts.append(len(segment))
            end += len(segment)
        places.append((offsets, counts))
    file.close()
    bare = tifffile.TiffFile(io.BytesIO(b"".join(parts)))
    moved = iter(places)
    result: list[tifffile.TiffPage] = []
    for page, packed in zip(pages, is_packed, strict=True):
        again: Any = bare.pages.get(page.index)
        if packed:
            again.compression = tifffile.COMPRESSION(_DEFLATE)
            again.dataoffsets, again.databytecounts = map(tuple, next(moved))
        result.append(again)
    return bare, result


def needs_imagecodecs(page: tifffile.TiffPage) -> str | None:
    """What of a page only imagecodecs decodes, in words; None: nothing."""
    import tifffile

    if int(page.compression) != _LZW and not _decodes(int(page.compression)):
        return f"compression {getattr(page.compression, 'name', page.compression)}"
    try:
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except Exception:  # of a missing module, as below
        return f"predictor {getattr(page.predictor, 'name', page.predictor)}"
    return None


def _decodes(compression: int) -> bool:
    """Whether tifffile decodes a compression with what is installed."""
    import tifffile

    # before Python 3.14 zstd is tried, and fails
    if compression in _ZSTD and find_spec("compression") is None:
        return False
    try:
        tifffile.TIFF.DECOMPRESSORS[compression]
    except Exception:  # KeyError, or of whichever module the decoder is looked for in
        return False
    return True


def decoded_lzw(encoded: bytes, rows: int, row_bytes: int) -> bytes:
    """The rows x row_bytes bytes of an LZW segment, as an image of one byte a pixel.

    Raises:
        ValueError, OSError: where it is damaged.
    """
    start = 8
    tags = [
        *((256, row_bytes), (257, rows), (258, 8), (259, _LZW), (262, 1)),
        *((273, start), (277, 1), (278, rows), (279, len(encoded))),
    ]
    directory = start + len(encoded) + len(encoded) % 2
    header = struct.pack("<2sHI", b"II", 42, directory)
    entries = b"".join(struct.pack("<HHII", tag, _LONG, 1, value) for tag, value in tags)
    body = encoded + b"\0" * (len(encoded) % 2) + struct.pack("<H", len(tags)) + entries
    with Image.open(io.BytesIO(header + body + b"\0\0\0\0"), formats=("TIFF",)) as image:
        return np.asarray(image).tobytes()


def _shape(page: tifffile.TiffPage, place: int) -> tuple[int, int]:
    """Rows of a segment, and bytes of a row."""
    contiguous = page.planarconfig != 2
    samples = page.samplesperpixel if contiguous else 1
    if page.is_tiled:
        rows, width = page.tilelength, page.tilewidth
    else:
        per_strip = min(page.rowsperstrip, page.imagelength)
        strips = -(-page.imagelength // per_strip)
        rows = min(per_strip, page.imagelength - place % strips * per_strip)
        width = page.imagewidth
    return rows, -(-width * samples * page.bitspersample // 8)
