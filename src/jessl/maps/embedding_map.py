"""The map of embeddings: what a page draws, and the file of a run that holds it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.files import read_json, write_json
from jessl.maps.colours import MOST_CLASSES, Classes, Colour, Values
from jessl.maps.layouts import Layout
from jessl.maps.sheets import ReadImage, Sheets, draw_sheets

FORMAT = "jessl.map/1"
# images of a map; a page of more is slow to draw
MOST_IMAGES = 20_000
# a map of 20,000 photographs has about 10 MB
MOST_BYTES = 40_000_000
_STEPS = 65_535
_SHEET = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+=*")


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Images in a plane.

    Attributes:
        names: of the n images that are shown.
        layouts: at least one.
        colours: what the points can be coloured by.
        thumbnails: their pictures, None without the images.
        total: images, shown or not.
    """

    names: Sequence[str]
    layouts: Sequence[Layout]
    colours: Sequence[Colour]
    thumbnails: Sheets | None
    total: int

    def as_json(self) -> dict[str, object]:
        """The map as JSON values: coordinates in 65,535 steps, little-endian, base64."""
        return {
            "format": FORMAT,
            "images": self.total,
            "names": list(self.names),
            "layouts": [
                {"name": one.name, "about": one.about, "xy": _packed(_steps_of_plane(one.xy))}
                for one in self.layouts
            ],
            "colours": [_colour_json(colour) for colour in self.colours],
            "thumbnails": self.thumbnails
            and {
                "sheets": list(self.thumbnails.sheets),
                "side": self.thumbnails.side_px,
                "across": self.thumbnails.across,
            },
        }

    def write(self, path: str | Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.as_json())


def shown_rows(n: int, seed: int, first: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """The rows of a map of n images, ascending: all up to 20,000, else a random choice.

    Args:
        n: images.
        seed: of the choice.
        first: rows that are shown before others.
    """
    if n <= MOST_IMAGES:
        return np.arange(n)
    order = np.random.default_rng([seed, 12]).permutation(n)
    if first is not None and len(first):
        order = np.concatenate([first, order[~np.isin(order, first)]])
    return np.sort(order[:MOST_IMAGES])


def draw_map(
    names: Sequence[str],
    layouts: Sequence[Layout],
    colours: Sequence[Colour],
    read: ReadImage | None,
    total: int | None = None,
) -> EmbeddingMap | None:
    """The map of some images; None without a layout.

    Example:
        plane = layouts(z, "pca", seed=0)
        draw_map(names, plane, [clusters_of(z, 0)], read).write("map.json")

    Args:
        names: of the images that are shown.
        layouts: where they lie.
        colours: what they can be coloured by.
        read: index -> image, or None where it cannot be read; None: no thumbnails.
        total: images in all; None: those that are shown.
    """
    if not layouts:
        return None
    thumbnails = None if read is None else draw_sheets(len(names), read)
    return EmbeddingMap(names, layouts, colours, thumbnails, total or len(names))


def read_map(path: str | Path) -> EmbeddingMap:
    """The map in a file.

    Raises:
        ValueError: naming the file, when it is no map or too large.
    """
    path = Path(path)
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path.name}: expected a map of at most {MOST_BYTES / 1e6:.0f} MB")
    held = read_json(path)
    try:
        return _of_json(held)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{path.name}: expected a map of embeddings ({error})") from None


def _of_json(held: dict[str, Any]) -> EmbeddingMap:
    if held["format"] != FORMAT:
        raise ValueError(f"format {held['format']}")
    names = [str(name) for name in _list(held["names"])]
    n = len(names)
    layouts = []
    for one in _list(held["layouts"]):
        steps = _unpacked(str(one["xy"]), "<u2", 2 * n).reshape(n, 2)
        layouts.append(Layout(str(one["name"]), steps.astype(np.float32), str(one["about"])))
    if not layouts:
        raise ValueError("no layout")
    colours = [_colour_of_json(one, n) for one in _list(held["colours"])]
    pictures = held["thumbnails"]
    thumbnails = None
    if isinstance(pictures, dict):
        sheets = tuple(str(sheet) for sheet in _list(pictures["sheets"]))
        if not all(_SHEET.fullmatch(sheet) for sheet in sheets):
            raise ValueError("sheets: expected JPEG files")
        side, across = int(pictures["side"]), int(pictures["across"])
        if min(side, across) < 1 or len(sheets) * across**2 < n:
            raise ValueError("thumbnails: expected one for each image")
        thumbnails = Sheets(sheets, side, across)
    images = held["images"]
    if not isinstance(images, int) or images < n:
        raise ValueError("images: expected a number, those that are shown among them")
    return EmbeddingMap(names, layouts, colours, thumbnails, images)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value


def _colour_json(colour: Colour) -> dict[str, object]:
    if isinstance(colour, Classes):
        codes = _packed(colour.codes.astype("<i4"))
        return {
            "name": colour.name,
            "classes": list(colour.names),
            "codes": codes,
            "many": colour.many,
        }
    values = np.asarray(colour.values, np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    return {
        "name": colour.name,
        "low": low,
        "high": high,
        "values": _packed(values.astype("<f4")),
    }


def _colour_of_json(held: dict[str, Any], n: int) -> Colour:
    name = str(held["name"])
    if "values" in held:
        return Values(name, _unpacked(str(held["values"]), "<f4", n))
    names = [str(one) for one in _list(held["classes"])]
    codes = _unpacked(str(held["codes"]), "<i4", n)
    if n and (codes.min() < -1 or codes.max() >= len(names)):
        raise ValueError("codes: expected one of the classes")
    many = bool(held["many"])
    if len(names) > MOST_CLASSES and not many:
        raise ValueError(f"classes: expected at most {MOST_CLASSES}")
    return Classes(name, names, codes.astype(np.int32), many)


def _steps_of_plane(xy: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Coordinates as 0..65,535, both axes on one scale, the centre of the range in the middle."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    scale = _STEPS / max(float((high - low).max()), 1e-12)
    return np.rint((xy - (low + high) / 2) * scale + _STEPS / 2).clip(0, _STEPS).astype("<u2")


def _packed(values: NDArray[np.generic]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _unpacked(text: str, kind: str, count: int) -> NDArray[Any]:
    values = np.frombuffer(base64.b64decode(text, validate=True), np.dtype(kind))
    if len(values) != count:
        raise ValueError(f"expected {count} values, got {len(values)}")
    return values
