"""Which component correlates with which error: rank correlations as dots with their intervals."""

from __future__ import annotations

from markupsafe import Markup

from jessl.report.charts.dots import Dot, DotColumn, DotRow, dot_columns
from jessl.report.charts.svg import Size
from jessl.report.formatting import format_signed
from jessl.report.json_values import interval, word
from jessl.zoo.page.answer import Row, distinct, known, rows_of
from jessl.zoo.page.labels import COMPONENTS, LONG, colour, in_words, span

TABLES = (
    ("correlations", "with the error"),
    ("added", "with what few labels add to the error"),
)
UNIT = "Kendall's tau"


def draw_correlations(answer: Row, size: Size) -> Markup | None:
    """A column a component, a row a setting; None without any correlation."""
    tables = {name: known(rows_of(answer, "components", name), "kendall") for name, _ in TABLES}
    present = {word(row, "component") for rows in tables.values() for row, _ in rows}
    shown = [c for c in COMPONENTS if c in present]
    lines = []
    for name, heading in TABLES:
        rows = tables[name]
        if not rows:
            continue
        lines.append(DotRow(heading))
        for target in distinct([row for row, _ in rows], "with"):
            columns = [
                [
                    _dot(row, tau)
                    for row, tau in rows
                    if word(row, "with") == target and word(row, "component") == component
                ]
                for component in shown
            ]
            lines.append(DotRow(in_words(target.partition(" - ")[0]), "", columns))
    titles = [DotColumn(in_words(c), f"{colour(c)} fill") for c in shown]
    description = "Rank correlation of the components with the errors"
    return dot_columns(titles, lines, UNIT, description, size, label_width=104.0)


def has_group_intervals(answer: Row) -> bool:
    """Whether there are intervals that resample whole objectives."""
    rows = [row for name, _ in TABLES for row in rows_of(answer, "components", name)]
    return any(interval(row, "kendall_group_") is not None for row in rows)


def correlation_sentences(answer: Row) -> list[str]:
    """Which components order the models by error, with all labels and with the fewest."""
    rows = known(rows_of(answer, "components", "correlations"), "kendall")
    targets = distinct([row for row, _ in rows], "with")
    if not targets or len({word(row, "component") for row, _ in rows}) < 2:
        return []
    parts = []
    for target in dict.fromkeys((targets[0], targets[-1])):
        mine = [(row, tau) for row, tau in rows if word(row, "with") == target]
        mine.sort(key=lambda pair: -abs(pair[1]))
        names = " and ".join(
            f"{LONG.get(word(row, 'component'), word(row, 'component'))} (tau {format_signed(tau)})"
            for row, tau in mine[:2]
        )
        parts.append(f"with {in_words(target)} {names}")
    return ["These components order the models by error: " + "; ".join(parts) + "."]


def _dot(row: Row, tau: float) -> Dot:
    models, groups = interval(row, "kendall_"), interval(row, "kendall_group_")
    component = word(row, "component")
    tip = f"{in_words(component)} and {in_words(word(row, 'with'))}: tau {format_signed(tau)}"
    if models is not None:
        tip += f", models resampled {span(models)}"
    if groups is not None:
        tip += f", objectives resampled {span(groups)}"
    tip += f", {row.get('n')} models"
    bounds = groups or models
    sure = bounds is not None and bounds[0] * bounds[1] > 0
    low, high = models or (None, None)
    return Dot(tau, low, high, colour(component), tip, sure=sure, outer=groups or (None, None))
