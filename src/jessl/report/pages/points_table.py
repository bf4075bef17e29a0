"""The numbers behind lines, at a few places that all of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jessl.report.charts.curves import Points
from jessl.report.formatting import format_number, format_value
from jessl.report.pages.content import Cell, Table, TableColumn, TableRow

_MOST = 10


def points_table(
    lines: Sequence[tuple[str, Points]], heading: str, x_title: str, *, log: bool = False
) -> Table | None:
    """A row a line; None without a number.

    Args:
        lines: name and points of each.
        heading: of the column of names.
        x_title: what x counts; at most ten places have a column, the last among them.
        log: the places are even along a logarithmic axis.
    """
    known = sorted({x for _, points in lines for x, y in points if y is not None})
    if not known:
        return None
    places = _places(known, log=log)
    columns = [TableColumn(heading, is_text=True)]
    columns += [TableColumn(f"{x_title} {format_value(round(x, 2))}") for x in places]
    rows = []
    for name, points in lines:
        at = dict(points)
        cells = [Cell(name, name)]
        cells += [Cell(format_number(at.get(x)), str(at.get(x, "") or "")) for x in places]
        rows.append(TableRow(cells))
    return Table(columns, rows)


def _places(known: Sequence[float], *, log: bool) -> list[float]:
    last = len(known) - 1
    if last < _MOST:
        return list(known)
    steps = range(_MOST)
    if log:
        picked = {round(math.exp(math.log(last + 1) * i / (_MOST - 1))) - 1 for i in steps}
    else:
        picked = {round(last * i / (_MOST - 1)) for i in steps}
    return [known[i] for i in sorted(picked)]
