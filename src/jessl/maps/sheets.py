"""Many small pictures on few sheets."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jessl.core.image_grid import fitted

ReadImage = Callable[[int], NDArray[np.unsignedinteger] | None]
# images at most -> side of a picture, in pixels: at most 3 to 13 MB of sheets
_SIDES_PX = ((5_000, 40), (20_000, 28))
_ACROSS, _PER_SHEET = 32, 32 * 32
_JPEG_QUALITY = 78


@dataclass(frozen=True)
class Sheets:
    """Sheets of pictures, row by row.

    Attributes:
        sheets: JPEG files as data URLs, of 1,024 pictures each.
        side_px: of a picture.
        across: pictures in a row.
    """

    sheets: tuple[str, ...]
    side_px: int
    across: int = _ACROSS


def draw_sheets(n: int, read: ReadImage) -> Sheets:
    """The pictures of n images.

    Args:
        n: images, at least 1.
        read: index -> uint8 or uint16 [h, w, c]; None where it cannot be read: grey.
    """
    side = next((px for most, px in _SIDES_PX if n <= most), _SIDES_PX[-1][1])
    sheets = []
    for start in range(0, n, _PER_SHEET):
        count = min(_PER_SHEET, n - start)
        size = (side * min(_ACROSS, count), side * -(-count // _ACROSS))
        sheet = Image.new("RGB", size, (128, 128, 128))
        for k in range(count):
            image = read(start + k)
            if image is None:
                continue
            cell = fitted(image, side)
            x, y = side * (k % _ACROSS), side * (k // _ACROSS)
            sheet.paste(cell, (x + (side - cell.width) // 2, y + (side - cell.height) // 2))
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=_JPEG_QUALITY)
        sheets.append("data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode())
    return Sheets(tuple(sheets), side)
