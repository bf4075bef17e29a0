"""The content of a page as plain values; templates/blocks.html.j2 has a macro for each block."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from markupsafe import Markup

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Card:
    """A tile: heading with a dot of a colour, a large value, pairs of name and value, a remark."""

    heading: str
    value: str
    pairs: Sequence[tuple[str, str]] = ()
    text: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Lead:
    """The first words of a section."""

    macro: ClassVar[str] = "lead"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    macro: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Named:
    """Text, perhaps behind a name in bold."""

    text: str
    name: str = ""


@dataclass(frozen=True)
class Notes:
    """A list in small print."""

    macro: ClassVar[str] = "notes"
    items: Sequence[Named]

    @classmethod
    def of(cls, texts: Iterable[object]) -> Notes:
        """A list of plain texts."""
        return cls([Named(str(text)) for text in texts])


@dataclass(frozen=True)
class LegendItem:
    """The class of a dot or a drawn shape, a name in bold, and what it stands for."""

    text: str
    class_: str = ""
    shape: str = ""
    name: str = ""


@dataclass(frozen=True)
class Picture:
    """An embedded image; with a heading and the class of its colour it stands in a panel.

    columns: headings above the columns of a grid of images.
    """

    macro: ClassVar[str] = "picture"
    source: str
    description: str
    width: int | None = None
    tiny: bool = False
    heading: str = ""
    colour: str = ""
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """Charts, pictures or tables, with a legend and a caption.

    panels: side by side in a grid. table: key of the section whose table holds the numbers.
    """

    macro: ClassVar[str] = "figure"
    caption: str
    content: Sequence[Drawn]
    legend: Sequence[LegendItem] = ()
    panels: bool = False
    table: str = ""


@dataclass(frozen=True)
class TableColumn:
    """The heading of a column; columns of text are aligned to the left."""

    title: str
    is_text: bool = False


@dataclass(frozen=True)
class Cell:
    """The text of a cell, what it is sorted by (empty: last), small print, and a tooltip."""

    text: str
    sort: str = ""
    notes: Sequence[str] = ()
    title: str = ""


@dataclass(frozen=True)
class TableRow:
    """The cells of a row, the run that it belongs to, and whether it was chosen."""

    cells: Sequence[Cell]
    run: str | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Table:
    """A table that a click on a heading sorts."""

    macro: ClassVar[str] = "table"
    columns: Sequence[TableColumn]
    rows: Sequence[TableRow]


@dataclass(frozen=True)
class SettingValue:
    """A setting of a run; automatic: left open by the user and decided by jessl."""

    name: str
    value: str
    automatic: bool = False


@dataclass(frozen=True)
class Settings:
    """A table of settings."""

    macro: ClassVar[str] = "settings"
    settings: Sequence[SettingValue]


@dataclass(frozen=True)
class Fact:
    """A name with a text (code: in a monospaced font) or with lines."""

    name: str
    text: str = ""
    lines: Sequence[Named] = ()
    code: bool = False


@dataclass(frozen=True)
class Facts:
    """A list of facts; those without text and lines are left out."""

    macro: ClassVar[str] = "facts"
    facts: Sequence[Fact]

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Facts:
        """The facts that have a text or lines."""
        return cls([fact for fact in facts if fact.text or fact.lines])


@dataclass(frozen=True)
class Tile:
    """An image that can be ticked: its name, a picture (empty: none), and lines below it."""

    name: str
    picture: str = ""
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class TileGroup:
    """Tiles that belong together, behind a heading (empty: none)."""

    tiles: Sequence[Tile]
    heading: str = ""


@dataclass(frozen=True)
class Gallery:
    """Images to tick; the names of the ticked ones can be copied. `key`: unique on the page."""

    macro: ClassVar[str] = "gallery"
    key: str
    groups: Sequence[TileGroup]


@dataclass(frozen=True)
class Fold:
    """Blocks behind a summary, which may begin with a name in bold."""

    summary: str
    blocks: Sequence[Block]
    name: str = ""


@dataclass(frozen=True)
class Folded:
    """Parts that a click opens."""

    macro: ClassVar[str] = "folded"
    folds: Sequence[Fold]


@dataclass(frozen=True)
class MapBlock:
    """A map of images to zoom, point at and select in.

    Attributes:
        key: unique on the page.
        caption: below the map.
        layouts: name and explanation of each.
        colours: names of what the points can be coloured by.
        data: JSON for the script, without `<`.
    """

    macro: ClassVar[str] = "embedding_map"
    key: str
    caption: str
    layouts: Sequence[tuple[str, str]]
    colours: Sequence[str]
    data: Markup


Drawn = Markup | Picture | Table
Block = Lead | Heading | Notes | Figure | Table | Settings | Facts | Folded | Gallery | MapBlock


@dataclass(frozen=True)
class Section:
    """A part of a page; `key` is its target in the contents."""

    key: str
    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A page: its kind, title, first sentences, tiles and sections."""

    kicker: str
    title: str
    findings: Sequence[str]
    sections: Sequence[Section]
    cards: Sequence[Card] = ()
    small_cards: bool = False

    @property
    def picks(self) -> bool:
        """Whether there are images to tick."""
        return self._has(Gallery)

    @property
    def maps(self) -> bool:
        """Whether there are maps of images."""
        return self._has(MapBlock)

    def _has(self, kind: type) -> bool:
        return any(isinstance(block, kind) for one in self.sections for block in one.blocks)


def figure(
    caption: str,
    content: Iterable[Drawn | None],
    legend: Sequence[LegendItem] = (),
    *,
    panels: bool = False,
    table: str = "",
) -> list[Figure]:
    """A figure of what was drawn; nothing where nothing was."""
    drawn = [item for item in content if item is not None]
    return [Figure(caption, drawn, legend, panels, table)] if drawn else []


def numbers_folded(table: Table | None) -> list[Folded]:
    """A table behind a click, below the figure that draws it; nothing without one."""
    return [] if table is None else [Folded([Fold("These numbers as a table", [table])])]


def read_png(path: Path, most_bytes: int) -> bytes:
    """The bytes of a PNG file.

    Raises:
        ValueError: in words for the page, when it is another file or too large.
    """
    size = path.stat().st_size
    if size > most_bytes:
        limit = f"at most {most_bytes / 1e6:.1f} MB are embedded"
        raise ValueError(f"{path.name} has {size / 1e6:.1f} MB, {limit}.")
    data = path.read_bytes()
    if not data.startswith(_PNG):
        raise ValueError(f"{path.name} is not a PNG file.")
    return data


def data_url(image: bytes, kind: str = "png") -> str:
    """An image of that kind (png, jpeg) inside the page, as its policy allows."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode()
