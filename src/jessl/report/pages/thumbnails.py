"""Small pictures of images inside a page."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from jessl.core.image_grid import fitted
from jessl.report.pages.content import data_url

_SIDE_PX, _JPEG_QUALITY = 128, 80


def thumbnail(image: NDArray[np.unsignedinteger]) -> str:
    """An image uint8 or uint16 [h, w, c] as a URL that holds a JPEG of at most 128 px a side."""
    file = io.BytesIO()
    fitted(image, _SIDE_PX).save(file, "JPEG", quality=_JPEG_QUALITY)
    return data_url(file.getvalue(), "jpeg")
