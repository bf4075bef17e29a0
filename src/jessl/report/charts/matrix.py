"""A matrix as a table of coloured cells, which is drawn and read alike at every width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.svg import tag

# shades of a colour that the style sheet has
_SHADES = 9


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
    titles = [tag("th", head, scope="col") for head in heads]
    body = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            *(_cell(cell) for cell in cells),
            data_run=name if runs else None,
        )
        for name, cells in zip(names, rows, strict=True)
    ]
    head = tag("thead", tag("tr", tag("td"), *titles))
    table = tag("table", head, tag("tbody", *body), class_="matrix", aria_label=description)
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=description)


def _cell(cell: MatrixCell | None) -> Markup:
    if cell is None:
        return tag("td", "–", class_="tick")
    shade = round(_SHADES * min(max(cell.strength, 0.0), 1.0))
    class_ = f"{cell.class_} heat h{shade} hot"
    return tag("td", cell.text, class_=class_, data_tip=cell.tip)
