"""Which component goes with which error: rank correlations as dots with their intervals."""

from __future__ import annotations

from jessl.report.charts import dots as zoo_dots
from jessl.report.charts.dots import Dot, Line
from jessl.report.charts.svg import Markup
from jessl.report.formatting import finite
from jessl.zoo.page.labels import (
    COMPONENTS,
    LONG,
    Row,
    colour,
    ends,
    in_words,
    rows_of,
    signed,
    span,
)

TABLES = (
    ("correlations", "with the error"),
    ("added", "with what few labels add to the error"),
)
UNIT = "Kendall's tau"


def draw(answer: Row, *, roomy: bool) -> Markup | None:
    """A column a component, a row a setting; None without any correlation."""
    every = {name: _known(rows_of(answer, "components", name)) for name, _ in TABLES}
    here = {row.get("component") for rows in every.values() for row in rows}
    shown = [c for c in COMPONENTS if c in here]
    lines = []
    for name, head in TABLES:
        rows = every[name]
        if not rows:
            continue
        lines.append(Line(head))
        for target in dict.fromkeys(str(row.get("with")) for row in rows):
            columns = [
                [_dot(r) for r in rows if r.get("with") == target and r.get("component") == c]
                for c in shown
            ]
            first = target.partition(" - ")[0]
            lines.append(Line(in_words(first), "", columns))
    titles = [(in_words(c), f"{colour(c)} fill") for c in shown]
    says = "Rank correlation of the components with the errors"
    return zoo_dots.draw(titles, lines, UNIT, says, roomy=roomy, label_room=104.0)


def is_grouped(answer: Row) -> bool:
    """Whether there are intervals that draw whole objectives."""
    rows = [row for name, _ in TABLES for row in rows_of(answer, "components", name)]
    return any(ends(row, "kendall_group_")[0] is not None for row in rows)


def sentences(answer: Row) -> list[str]:
    """Which component orders the errors most, with all labels and with the fewest."""
    rows = _known(rows_of(answer, "components", "correlations"))
    targets = list(dict.fromkeys(str(row.get("with")) for row in rows))
    if not targets or len({row.get("component") for row in rows}) < 2:
        return []
    parts = []
    for target in dict.fromkeys((targets[0], targets[-1])):
        mine = [row for row in rows if row.get("with") == target]
        order = sorted(mine, key=lambda row: -abs(row["kendall"]))[:2]
        names = " and ".join(
            f"{LONG.get(r['component'], r['component'])} (tau {signed(r['kendall'])})"
            for r in order
        )
        parts.append(f"with {in_words(target)} {names}")
    return ["What orders the models by error is, " + "; ".join(parts) + "."]


def _known(rows: list[Row]) -> list[Row]:
    return [row for row in rows if finite(row.get("kendall")) is not None]


def _dot(row: Row) -> Dot:
    (low, high), outer = ends(row, "kendall_"), ends(row, "kendall_group_")
    tau = float(row["kendall"])
    tip = f"{in_words(row['component'])} and {in_words(str(row.get('with')))}: tau {signed(tau)}"
    if low is not None:
        tip += f", models drawn again {span(low, high)}"
    if outer[0] is not None:
        tip += f", objectives drawn again {span(*outer)}"
    bounds = outer if outer[0] is not None else (low, high)
    sure = bounds[0] is not None and bounds[1] is not None and bounds[0] * bounds[1] > 0
    tip += f", {row.get('n')} models"
    return Dot(tau, low, high, colour(row["component"]), tip, sure=sure, outer=outer)
