"""Grids of images with captions, as PNG files."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from jessl.core.files import atomic_write
from jessl.core.png_headings import HEADINGS_KEY

_GAP_PX = 4
_HEADER_PX = 18
_LINE_PX = 13
_INK = (60, 60, 67)


def write_grid(
    path: str | Path,
    rows: Sequence[Sequence[np.ndarray]],
    *,
    columns: Sequence[str] = (),
    captions: Sequence[Sequence[Sequence[str]]] = (),
    cell_px: int = 72,
    headings_as_text: bool = False,
) -> None:
    """Write rows of images as one PNG on a white background; arguments are those of `draw_grid`.

    Args:
        path: file to write, atomically.
        headings_as_text: the columns are not drawn but kept in the file, for a page that sets
            them as text (`jessl.core.png_headings`).

    Raises:
        ValueError: for no image.
    """
    drawn = () if headings_as_text else columns
    canvas = draw_grid(rows, columns=drawn, captions=captions, cell_px=cell_px)
    kept = PngInfo()
    if headings_as_text:
        kept.add_text(HEADINGS_KEY, "\n".join(columns))
    with atomic_write(path) as part:
        canvas.save(part, format="PNG", optimize=True, pnginfo=kept)


def draw_grid(
    rows: Sequence[Sequence[np.ndarray]],
    *,
    columns: Sequence[str] = (),
    captions: Sequence[Sequence[Sequence[str]]] = (),
    cell_px: int = 72,
) -> Image.Image:
    """Rows of images as one picture on a white background.

    Args:
        rows: images uint8 [h, w, c] of any size, or uint16, of which the smallest value is
            drawn black and the largest white. The first three channels are drawn in colour; of one
            or two channels the first is drawn in grey. Each image is fitted into its cell; small
            ones are enlarged without smoothing.
        columns: captions above the columns; empty: no header.
        captions: for each row and image the text below it, in pieces that a line break does not
            divide; empty: no captions.
        cell_px: side of a cell, in pixels.

    Raises:
        ValueError: for no image.
    """
    width = max((len(row) for row in rows), default=0)
    if not width:
        raise ValueError("rows: expected at least one image, got none")
    top = _HEADER_PX if columns else 0
    gap = 2 * _GAP_PX if captions else _GAP_PX
    step = cell_px + gap
    font = ImageFont.load_default(11)
    text = [[_lines(pieces, font, cell_px) for pieces in row] for row in captions]
    below = [gap + _LINE_PX * max(len(lines) for lines in row) for row in text]
    heights = [cell_px + (below[i] if below else gap) for i in range(len(rows))]
    canvas = Image.new("RGB", (width * step + gap, sum(heights) + gap + top), "white")
    draw = ImageDraw.Draw(canvas)
    for k, name in enumerate(columns):
        draw.text((gap + k * step, 3), name, fill=_INK, font=font)
    for i, row in enumerate(rows):
        y = top + gap + sum(heights[:i])
        for k, image in enumerate(row):
            cell = fitted(image, cell_px)
            x = gap + k * step
            canvas.paste(cell, (x + (cell_px - cell.width) // 2, y + (cell_px - cell.height) // 2))
            for at, line in enumerate(text[i][k] if text else ()):
                draw.text((x, y + cell_px + 1 + at * _LINE_PX), line, fill=_INK, font=font)
    return canvas


def inline_picture(picture: Image.Image) -> str:
    """A picture as HTML that needs no file: an <img> that holds its PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f"<img src='data:image/png;base64,{data}'/>"


def _lines(
    pieces: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int
) -> list[str]:
    """Pieces joined into lines of at most `width_px`; a wider piece has a line of its own."""
    lines: list[str] = []
    for piece in pieces:
        longer = f"{lines[-1]}, {piece}" if lines else piece
        if lines and font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines


def fitted(image: np.ndarray, cell_px: int) -> Image.Image:
    """An image as a picture of at most `cell_px` a side, as `write_grid` draws it."""
    if image.dtype != np.uint8:
        low, high = int(image.min()), int(image.max())
        low = low if low < high else 0
        image = ((image - low) * (255 / max(high - low, 1))).astype(np.uint8)
    drawn = image[:, :, 0] if image.shape[2] < 3 else np.ascontiguousarray(image[:, :, :3])
    picture = Image.fromarray(drawn).convert("RGB")
    scale = cell_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if scale > 1:
        # by a whole number first: enlarged by 4.5, some pixels would be wider than others
        factor = math.ceil(scale)
        enlarged = (picture.width * factor, picture.height * factor)
        picture = picture.resize(enlarged, Image.Resampling.NEAREST)
    return picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BOX)


def unnormalised(
    views: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> list[np.ndarray]:
    """Undo the normalisation: views float [n, 3, s, s] to images uint8 [s, s, 3]."""
    x = views.transpose(0, 2, 3, 1) * np.asarray(std) + np.asarray(mean)
    return list(np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8))
