"""A drawn matrix: coloured cells with numbers, rows and columns with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.svg import drawing, shorten, tag, text

CELL, HEIGHT, LABEL, HEAD = 84.0, 30.0, 170.0, 40.0


@dataclass(frozen=True)
class MatrixCell:
    """The text, the class of its colour, its strength (0 to 1), and what the pointer reads."""

    text: str
    class_: str
    strength: float
    tip: str


def matrix(
    names: Sequence[str],
    heads: Sequence[str],
    rows: Sequence[Sequence[MatrixCell | None]],
    description: str,
    *,
    runs: bool = False,
) -> Markup:
    """A row a name, a column a head; a missing cell is a dash. runs: rows are named runs."""
    parts = [
        text(LABEL + CELL * (k + 0.5), HEAD - 12, shorten(head, CELL + 10), "mid small")
        for k, head in enumerate(heads)
    ]
    for i, (name, cells) in enumerate(zip(names, rows, strict=True)):
        y = HEAD + HEIGHT * i
        row = [_cell(cell, LABEL + CELL * k, y) for k, cell in enumerate(cells)]
        label = text(0, y + 19, shorten(name, LABEL - 6), "number")
        parts.append(tag("g", label, *row, data_run=name if runs else None))
    width, height = LABEL + CELL * len(heads), HEAD + HEIGHT * len(names) + 4
    return tag("div", drawing(width, height, description, *parts), class_="scroll", tabindex="0")


def _cell(cell: MatrixCell | None, x: float, y: float) -> Markup:
    if cell is None:
        return text(x + CELL / 2, y + 19, "–", "mid tick")
    box = tag(
        "rect",
        x=x + 2,
        y=y + 2,
        width=CELL - 4,
        height=HEIGHT - 4,
        rx=5,
        class_=f"{cell.class_} fill",
        fill_opacity=f"{cell.strength:.2f}",
    )
    number = text(x + CELL / 2, y + 19, cell.text, "mid number")
    return tag("g", box, number, class_="hot", data_tip=cell.tip)
