"""Bars from zero, several to a row, with their numbers at the ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jessl.report.charts.svg import Axis, Markup, fit, line, picture, tag, text, tick_labels

WIDTH, NUMBER = 400.0, 42.0
LEAST_LABEL, MOST_LABEL = 84.0, 222.0
BAR, GAP, HEAD, FOOT = 12.0, 12.0, 34.0, 42.0


@dataclass(frozen=True)
class Bar:
    """A number, the class of its colour, how it is written, and what it is in whole words."""

    value: float
    class_: str
    said: str
    tip: str


@dataclass(frozen=True)
class BarRow:
    """A row and its bars, from above."""

    label: str
    bars: Sequence[Bar]


def panel(
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
    parts = [text(0, 15, fit(title, WIDTH), "strong")]
    y = HEAD
    for row in rows:
        if not row.bars:
            continue
        tall = BAR * len(row.bars)
        parts.append(text(0, y + tall / 2 + 4, fit(row.label, label - 6), ""))
        for bar in row.bars:
            parts.append(_bar(bar, axis, y, lowest))
            y += BAR
        y += GAP
    ticks = axis.ticks(4)
    grid = []
    for tick, said in zip(ticks, tick_labels(ticks), strict=True):
        grid.append(line(axis(tick), HEAD - 8, axis(tick), y, "rule"))
        grid.append(text(axis(tick), y + 14, said, "mid tick"))
    grid.append(text((axis.start + axis.end) / 2, y + 33, unit, "mid axis"))
    zero = line(axis(0), HEAD - 8, axis(0), y, "zero")
    drawn = picture(WIDTH, y + FOOT, f"{title}: {unit} as bars", *grid, *parts, zero)
    return tag("div", drawn, class_="panel")


def _bar(bar: Bar, axis: Axis, y: float, lowest: float) -> Markup:
    place = axis(max(bar.value, lowest))
    left, right = sorted((axis(0), place))
    drawn = tag(
        "rect",
        x=left,
        y=y + 0.5,
        width=max(right - left, 0.8),
        height=BAR - 1,
        class_=f"{bar.class_} fill hot",
        data_tip=bar.tip,
    )
    below = bar.value < 0
    said = text(
        left - 4 if below else right + 4,
        y + BAR - 2,
        bar.said,
        "small number end" if below else "small number",
    )
    return tag("g", drawn, said)
