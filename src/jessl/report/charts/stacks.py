"""Signed parts of a number as stacked bars: to the right of zero they add, to the left subtract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.axis import Axis, grid_below
from jessl.report.charts.svg import Size, drawing, line, polygon, shorten, tag, text

ROW, BAR, HEAD, FOOT = 34.0, 20.0, 32.0, 46.0
# between the intervals below a bar, px
STEP = 4.5


@dataclass(frozen=True)
class Part:
    """A signed part, the class of its colour, what the pointer reads, and perhaps its interval."""

    value: float
    class_: str
    tip: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Total:
    """The diamond of a stack, what the pointer reads at it, and perhaps its interval."""

    value: float
    tip: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Stack:
    """A row: its label, a small remark, its parts, the number at its end, and its diamond."""

    label: str
    parts: Sequence[Part]
    number: str
    total: Total | None = None
    note: str = ""
    run: str | None = None

    def bases(self) -> list[float]:
        """Where each part begins: behind those of the same sign before it."""
        starts, up, down = [], 0.0, 0.0
        for part in self.parts:
            starts.append(up if part.value >= 0 else down)
            if part.value >= 0:
                up += part.value
            else:
                down += part.value
        return starts

    @property
    def height(self) -> float:
        """Of the row, px: intervals of parts lie below the bar, each on a line of its own."""
        known = any(part.low is not None for part in self.parts)
        return ROW + (STEP * len(self.parts) if known else 0.0)

    def reach(self) -> list[float]:
        """Every number that the row draws."""
        numbers: list[float | None] = []
        for base, part in zip(self.bases(), self.parts, strict=True):
            bounds = (part.value, part.low, part.high)
            numbers += [base + v for v in bounds if v is not None]
        if self.total is not None:
            numbers += [self.total.value, self.total.low, self.total.high]
        return [v for v in numbers if v is not None]


@dataclass(frozen=True)
class StackGroup:
    """A heading, the class of its text, and the rows below it."""

    heading: str
    stacks: Sequence[Stack]
    class_: str = ""


def stacked_bars(
    groups: Sequence[StackGroup], unit: str, description: str, size: Size
) -> Markup | None:
    """All groups on one axis; None without a row."""
    rows = [row for group in groups for row in group.stacks]
    if not rows:
        return None
    noted = any(row.note for row in rows)
    label = (300.0 if noted else 196.0) if size.wide else (122.0 if noted else 112.0)
    reach = [0.0, *(value for row in rows for value in row.reach())]
    axis = Axis.over(reach, label, size.width - (80.0 if size.wide else 50.0), pad=0.02)
    parts: list[Markup] = []
    y = 0.0
    for group in groups:
        parts.append(text(0, y + 20, shorten(group.heading, 340), f"strong {group.class_}".strip()))
        y += HEAD
        for row in group.stacks:
            parts.append(_row(row, axis, y, size))
            y += row.height
        y += 8
    grid = grid_below(axis, HEAD - 4, y, about=7 if size.wide else 4, title=unit)
    zero = line(axis(0), HEAD - 4, axis(0), y, "zero")
    return drawing(size.width, y + FOOT, description, *grid, *parts, zero)


def _row(row: Stack, axis: Axis, y: float, size: Size) -> Markup:
    top, middle = y + (ROW - BAR) / 2, y + ROW / 2
    parts = _labels(row, middle, axis.start, wide=size.wide)
    below = top + BAR + 4
    for base, part in zip(row.bases(), row.parts, strict=True):
        left, right = sorted((axis(base), axis(base + part.value)))
        parts.append(
            tag(
                "rect",
                x=left,
                y=top,
                width=max(right - left, 0.5),
                height=BAR,
                class_=f"{part.class_} fill part hot",
                data_run=row.run,
                data_tip=part.tip,
            )
        )
        if part.low is not None and part.high is not None:
            # in its colour, so that none hides a bar or another
            low, high = axis(base + part.low), axis(base + part.high)
            parts.append(line(low, below, high, below, f"{part.class_} edge interval"))
            below += STEP
    if row.total is not None:
        parts += _total(row.total, row.run, axis, top, below)
    parts.append(text(size.width - 4, middle + 4, row.number, "end number"))
    return tag("g", *parts)


def _labels(row: Stack, middle: float, room: float, *, wide: bool) -> list[Markup]:
    if not row.note:
        return [text(0, middle + 4, shorten(row.label, room - 8), "" if wide else "small")]
    if wide:
        return [
            text(0, middle + 4, shorten(row.label, 150), "number"),
            text(146, middle + 4, shorten(row.note, 180), "small"),
        ]
    return [
        text(0, middle - 1, shorten(row.label, room - 4), "number"),
        text(0, middle + 11, shorten(row.note, 140), "small"),
    ]


def _total(total: Total, run: str | None, axis: Axis, top: float, below: float) -> list[Markup]:
    x, middle = axis(total.value), top + BAR / 2
    parts = []
    if total.low is not None and total.high is not None:
        parts.append(line(axis(total.low), below, axis(total.high), below, "total"))
    corners = [(x, top - 3), (x + 6, middle), (x, top + BAR + 3), (x - 6, middle)]
    parts.append(polygon(corners, class_="diamond hot", data_run=run, data_tip=total.tip))
    return parts
