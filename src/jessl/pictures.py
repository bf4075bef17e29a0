"""Pictures of images: grids with captions, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jessl.files import whole_file

_GAP_PX = 4
_HEADER_PX = 18
_INK = (60, 60, 67)


def write_grid(
    path: str | Path,
    rows: Sequence[Sequence[np.ndarray]],
    *,
    columns: Sequence[str] = (),
    cell_px: int = 72,
) -> None:
    """Write rows of images as one PNG on white.

    Args:
        path: file to write, whole or not at all.
        rows: images uint8 [h, w, c] of any sizes, of which the first three channels are drawn in
            colour, of two the first in grey; each is fitted into its cell, small ones enlarged
            without smoothing.
        columns: captions over the columns; none: no header.
        cell_px: side of a cell, pixels.
    """
    width = max((len(row) for row in rows), default=0)
    if not width:
        raise ValueError("a grid needs at least one image, got none")
    top = _HEADER_PX if columns else 0
    step = cell_px + _GAP_PX
    canvas = Image.new("RGB", (width * step + _GAP_PX, len(rows) * step + _GAP_PX + top), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(11)
    for k, caption in enumerate(columns):
        draw.text((_GAP_PX + k * step, 3), caption, fill=_INK, font=font)
    for i, row in enumerate(rows):
        for k, image in enumerate(row):
            cell = _fitted(image, cell_px)
            left = _GAP_PX + k * step + (cell_px - cell.width) // 2
            canvas.paste(cell, (left, top + _GAP_PX + i * step + (cell_px - cell.height) // 2))
    with whole_file(path) as part:
        canvas.save(part, format="PNG", optimize=True)


def _fitted(image: np.ndarray, cell_px: int) -> Image.Image:
    seen = image[:, :, 0] if image.shape[2] < 3 else np.ascontiguousarray(image[:, :, :3])
    picture = Image.fromarray(seen).convert("RGB")
    scale = cell_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return picture.resize(size, smooth)


def unnormalised(
    views: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> list[np.ndarray]:
    """Views float [n, 3, s, s] back to images uint8 [s, s, 3]."""
    x = views.transpose(0, 2, 3, 1) * np.asarray(std) + np.asarray(mean)
    return list(np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8))
