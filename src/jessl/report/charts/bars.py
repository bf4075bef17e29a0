"""Bars from zero, several to a row, with their numbers at the ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.axis import Axis, grid_below
from jessl.report.charts.svg import line, panel, shorten, tag, text

WIDTH, NUMBER = 400.0, 42.0
LEAST_LABEL, MOST_LABEL = 84.0, 222.0
BAR, GAP, HEAD, FOOT = 12.0, 12.0, 34.0, 42.0


@dataclass(frozen=True)
class Bar:
    """A number, the class of its colour, its text, and what the pointer reads."""

    value: float
    class_: str
    text: str
    tip: str


@dataclass(frozen=True)
class BarRow:
    """A row and its bars, from the top."""

    label: str
    bars: Sequence[Bar]


def bar_panel(
    title: str, rows: Sequence[BarRow], unit: str, *, lowest: float = float("-inf")
) -> Markup | None:
    """One drawing, 400 px wide; None without a bar. Bars below `lowest` are cut there."""
    values = [max(bar.value, lowest) for row in rows for bar in row.bars]
    if not values:
        return None
    values.append(0.0)
    longest = max(len(row.label) for row in rows if row.bars)
    label = min(max(7.3 * longest + 8, LEAST_LABEL), MOST_LABEL)
    axis = Axis.over(values, label + (30 if min(values) < 0 else 0), WIDTH - NUMBER, pad=0.0)
    parts = [text(0, 15, shorten(title, WIDTH), "strong")]
    y = HEAD
    for row in rows:
        if not row.bars:
            continue
        height = BAR * len(row.bars)
        parts.append(text(0, y + height / 2 + 4, shorten(row.label, label - 6)))
        for bar in row.bars:
            parts.append(_bar(bar, axis, y, lowest))
            y += BAR
        y += GAP
    grid = grid_below(axis, HEAD - 8, y, about=4, title=unit)
    zero = line(axis(0), HEAD - 8, axis(0), y, "zero")
    return panel(WIDTH, y + FOOT, f"{title}: {unit} as bars", *grid, *parts, zero)


def _bar(bar: Bar, axis: Axis, y: float, lowest: float) -> Markup:
    left, right = sorted((axis(0), axis(max(bar.value, lowest))))
    shape = tag(
        "rect",
        x=left,
        y=y + 0.5,
        width=max(right - left, 0.8),
        height=BAR - 1,
        class_=f"{bar.class_} fill hot",
        data_tip=bar.tip,
    )
    below = bar.value < 0
    place, class_ = (left - 4, "small number end") if below else (right + 4, "small number")
    return tag("g", shape, text(place, y + BAR - 2, bar.text, class_))
