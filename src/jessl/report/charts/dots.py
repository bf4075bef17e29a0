"""Numbers with intervals as dots on lines, in columns that share their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jessl.report.charts.svg import (
    Axis,
    Markup,
    fit,
    join,
    line,
    mark,
    picture,
    tag,
    text,
    tick_labels,
)

ROW, LOW_ROW, SLIM_ROW, HEAD, FOOT = 40.0, 28.0, 52.0, 34.0, 44.0
WIDE, SLIM, SLIM_LABEL = 880.0, 372.0, 108.0
_NUMBER = 48.0  # px for the number at the end of a line
_LETTER = 7.3 / 6.0  # a small letter is narrower than those that `fit` counts


@dataclass(frozen=True)
class Dot:
    """A number with its interval (None: not known) and perhaps a wider one; `tip` tells them."""

    value: float
    low: float | None
    high: float | None
    class_: str
    tip: str
    sure: bool = True
    second: bool = False  # beside another: smaller, below it
    outer: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Line:
    """A row: its label, a small remark, and its dots in each column; without columns a heading."""

    label: str
    note: str = ""
    columns: Sequence[Sequence[Dot]] = field(default=())


def draw(
    titles: Sequence[tuple[str, str]],
    rows: Sequence[Line],
    unit: str,
    says: str,
    *,
    roomy: bool,
    label_room: float = 300.0,
) -> Markup | None:
    """Columns beside each other (880 px) or below each other (372 px); None without a dot.

    Args:
        titles: of the columns, each with the class of its colour.
        rows: headings and lines, each line with as many columns as there are titles.
        unit: below every axis.
        says: what the drawing shows, for those who do not see it.
        roomy: for a wide screen.
        label_room: px for labels on a wide screen.
    """
    every = [dot for row in rows for column in row.columns for dot in column]
    if not every:
        return None
    reach = _reach(every)
    if roomy:
        return _picture(titles, rows, unit, says, reach, WIDE, label_room)
    # labels stand above their lines where there are remarks beside them
    label_room = 0.0 if any(row.note for row in rows) else min(label_room, SLIM_LABEL)
    drawn = [
        _picture([title], [_only(row, i) for row in rows], unit, says, reach, SLIM, label_room)
        for i, title in enumerate(titles)
    ]
    return join(drawn)


def _only(row: Line, column: int) -> Line:
    return Line(row.label, row.note, row.columns[column : column + 1])


def _reach(dots: Sequence[Dot]) -> tuple[float, float]:
    """The ends of the axis: every number and zero; intervals only as far as they do not flatten."""
    numbers = [0.0, *(dot.value for dot in dots)]
    most = 1.4 * max(abs(v) for v in numbers)
    found = [v for dot in dots for v in (dot.low, dot.high, *dot.outer) if v is not None]
    numbers += [min(max(v, -most), most) for v in found]
    return min(numbers), max(numbers)


def _picture(
    titles: Sequence[tuple[str, str]],
    rows: Sequence[Line],
    unit: str,
    says: str,
    reach: tuple[float, float],
    width: float,
    label_room: float,
) -> Markup:
    kept = [row for row in rows if not row.columns or any(row.columns)]
    column = (width - label_room) / len(titles)
    axes = [
        Axis.over(
            reach,
            label_room + i * column + 12,
            label_room + (i + 1) * column - _NUMBER - 8,
            pad=0.04,
        )
        for i in range(len(titles))
    ]
    parts: list[Markup] = []
    for (title, class_), axis in zip(titles, axes, strict=True):
        parts.append(tag("rect", x=axis.start, y=5, width=10, height=10, rx=3, class_=class_))
        parts.append(text(axis.start + 16, 15, fit(title, column - 30), "strong"))
    y = HEAD
    noted = any(row.note for row in kept)
    step = LOW_ROW if not noted else ROW if label_room else SLIM_ROW
    for row in kept:
        if not row.columns:
            parts.append(text(0, y + 20, fit(row.label, width), "axis over"))
            y += 30
            continue
        parts += _labels(row, y, step, width, label_room)
        middle = y + (step / 2 if label_room else SLIM_ROW - 17)
        for dots, axis in zip(row.columns, axes, strict=True):
            parts += [_dot(dot, axis, middle) for dot in dots]
            first = next((dot for dot in dots if not dot.second), None)
            if first is not None:
                said = "number end strong" if first.sure else "number end"
                place = axis.end + _NUMBER + 4
                parts.append(text(place, middle + 4, _number(first.value), said))
        y += step
    grid = []
    for axis in axes:
        ticks = axis.ticks(2 if len(titles) > 2 else 4)
        for tick, label in zip(ticks, tick_labels(ticks), strict=True):
            grid.append(line(axis(tick), HEAD - 6, axis(tick), y, "rule"))
            grid.append(text(axis(tick), y + 16, label, "mid tick"))
        grid.append(line(axis(0), HEAD - 6, axis(0), y, "zero"))
        grid.append(text((axis.start + axis.end) / 2, y + 36, unit, "mid axis"))
    said = f"{says}: {', '.join(title for title, _ in titles)}"
    foot = FOOT if width == WIDE else FOOT + 18
    return picture(width, y + foot, said, *grid, *parts)


def _labels(row: Line, y: float, step: float, width: float, label_room: float) -> list[Markup]:
    if label_room:
        room = label_room - 8
        middle = y + step / 2
        if not row.note:
            return [text(0, middle + 4, fit(row.label, room), "")]
        return [
            text(0, middle - 2, fit(row.label, room), "number"),
            text(0, middle + 12, fit(row.note, room * _LETTER), "small"),
        ]
    room = min(width - 10, 7.3 * len(row.label) + 4) if row.note else width
    return [
        text(0, y + 14, fit(row.label, room), "number"),
        text(width, y + 14, fit(row.note, (width - room - 10) * _LETTER), "small end"),
    ]


def _number(value: float) -> str:
    places = 2 if abs(value) < 1 else 1
    said = f"{value:+.{places}f}".replace("-", "−")
    return said.lstrip("+") if float(f"{value:.{places}f}") == 0 else said


def _dot(dot: Dot, axis: Axis, middle: float) -> Markup:
    y = middle + (9 if dot.second else -2 if _beside(dot) else 0)
    parts = []
    for (low, high), class_ in (
        (dot.outer, f"whisker {dot.class_} edge"),
        ((dot.low, dot.high), f"{'whisker' if dot.second else 'bar'} {dot.class_} edge"),
    ):
        if low is None or high is None:
            continue
        left, right = max(low, axis.low), min(high, axis.high)
        parts.append(line(axis(left), y, axis(right), y, class_))
        parts += [
            _arrow(axis(end), y, sign, dot.class_)
            for end, far, sign in ((left, low, -1), (right, high, 1))
            if end != far
        ]
    place = axis(min(max(dot.value, axis.low), axis.high))
    shape, size = (3, 3.6) if dot.second else (0, 5.0)
    class_ = f"{dot.class_} {'fill' if dot.sure else 'ring'} hot"
    parts.append(mark(shape, place, y, size, class_=class_, data_tip=dot.tip))
    return tag("g", *parts)


def _beside(dot: Dot) -> bool:
    return not dot.second and dot.outer == (None, None)


def _arrow(x: float, y: float, sign: int, class_: str) -> Markup:
    """The interval goes on outside the picture."""
    corners = f"{x + 5 * sign:.1f},{y:.1f} {x:.1f},{y - 3.5:.1f} {x:.1f},{y + 3.5:.1f}"
    return tag("polygon", points=corners, class_=f"{class_} fill")
