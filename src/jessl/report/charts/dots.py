"""Numbers with intervals as dots on lines: columns that share their rows, or one panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.axis import Axis, grid_below
from jessl.report.charts.svg import (
    Size,
    drawing,
    join,
    line,
    mark,
    panel,
    polygon,
    shorten,
    tag,
    text,
)
from jessl.report.formatting import format_fixed

_LETTER = 7.3 / 6.0  # a small letter is narrower than those that `shorten` counts
_NARROW_LABEL = 108.0


@dataclass(frozen=True)
class Dot:
    """A number with its interval (None: not known) and perhaps a wider one; `tip` spells it out.

    sure: filled rather than a ring. second: beside another, smaller and below it. text: the
    number at the end of the line, by default the value with its sign.
    """

    value: float
    low: float | None
    high: float | None
    class_: str
    tip: str
    sure: bool = True
    second: bool = False
    outer: tuple[float | None, float | None] = (None, None)
    text: str | None = None


@dataclass(frozen=True)
class DotRow:
    """A row: its label, a small remark, its dots in each column; without columns a heading."""

    label: str
    note: str = ""
    columns: Sequence[Sequence[Dot]] = ()
    run: str | None = None


@dataclass(frozen=True)
class DotColumn:
    """The title of a column, the class of its colour (none: no square), a line below the title."""

    title: str
    class_: str = ""
    subtitle: str = ""


@dataclass(frozen=True)
class _Layout:
    """Sizes, px: of the drawing, of the room for labels (0: above the lines) and numbers."""

    width: float
    label: float
    row: float
    head: float
    foot: float
    number: float = 48.0

    @property
    def line(self) -> float:
        """From the top of a row to its line."""
        return self.row / 2 if self.label else self.row - 17


def dot_columns(
    columns: Sequence[DotColumn],
    rows: Sequence[DotRow],
    unit: str,
    description: str,
    size: Size,
    *,
    label_width: float = 300.0,
) -> Markup | None:
    """Columns beside each other where it is wide, else below each other; None without a dot.

    Args:
        columns: their titles.
        rows: headings and lines, each line with as many columns as there are titles.
        unit: below every axis.
        description: what the drawing shows, for those who do not see it.
        size: of the screen.
        label_width: px for labels on a wide screen.
    """
    dots = [dot for row in rows for column in row.columns for dot in column]
    if not dots:
        return None
    reach = _reach(dots)
    noted = any(row.note for row in rows)
    if size.wide:
        layout = _Layout(size.width, label_width, 40.0 if noted else 28.0, 34.0, 44.0)
        titles = ", ".join(column.title for column in columns)
        height, parts = _draw(columns, rows, unit, reach, layout)
        return drawing(layout.width, height, f"{description}: {titles}", *parts)
    # labels stand above their lines where there are remarks beside them
    label = 0.0 if noted else min(label_width, _NARROW_LABEL)
    layout = _Layout(size.width, label, 52.0 if noted else 28.0, 34.0, 62.0)
    drawings = []
    for i, column in enumerate(columns):
        height, parts = _draw([column], [_only(row, i) for row in rows], unit, reach, layout)
        drawings.append(drawing(layout.width, height, f"{description}: {column.title}", *parts))
    return join(drawings)


def dot_panel(
    title: str, subtitle: str, rows: Sequence[DotRow], *, zero: bool = False
) -> Markup | None:
    """A drawing of 420 px, one dot a row; None without a dot. zero: the axis holds 0."""
    dots = [dot for row in rows for column in row.columns for dot in column]
    if not dots:
        return None
    reach = [v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None]
    reach += [0.0] if zero else []
    ends = f"{title}: " + ", ".join(f"{r.label} {d.text}" for r in rows for d in r.columns[0])
    # 8 px a digit is the widest of the system fonts
    room = max(50.0, *(8.0 * len(dot.text or "") for dot in dots))
    layout = _Layout(420.0, 168.0, 25.0, 46.0, 26.0, number=room)
    column = DotColumn(title, subtitle=subtitle)
    height, parts = _draw([column], rows, "", (min(reach), max(reach)), layout)
    return panel(layout.width, height, ends, *parts)


def _only(row: DotRow, column: int) -> DotRow:
    return DotRow(row.label, row.note, row.columns[column : column + 1], row.run)


def _reach(dots: Sequence[Dot]) -> tuple[float, float]:
    """The ends of the axis: every number and zero; intervals only as far as they do not flatten."""
    numbers = [0.0, *(dot.value for dot in dots)]
    most = 1.4 * max(abs(v) for v in numbers)
    bounds = [v for dot in dots for v in (dot.low, dot.high, *dot.outer) if v is not None]
    numbers += [min(max(v, -most), most) for v in bounds]
    return min(numbers), max(numbers)


def _draw(
    columns: Sequence[DotColumn],
    rows: Sequence[DotRow],
    unit: str,
    reach: tuple[float, float],
    layout: _Layout,
) -> tuple[float, list[Markup]]:
    """Height and parts of one drawing."""
    width = (layout.width - layout.label) / len(columns)
    starts = [layout.label + i * width for i in range(len(columns))]
    axes = [
        Axis.over(reach, start + 12, start + width - layout.number - 8, pad=0.04)
        for start in starts
    ]
    parts: list[Markup] = []
    for column, axis in zip(columns, axes, strict=True):
        x = 0.0 if column.subtitle else axis.start
        if column.class_:
            parts.append(tag("rect", x=x, y=5, width=10, height=10, rx=3, class_=column.class_))
            x += 16
        room = width - 30 if column.class_ else layout.width
        parts.append(text(x, 15, shorten(column.title, room), "strong"))
        if column.subtitle:
            parts.append(text(x, 31, column.subtitle, "small"))
    y = layout.head
    for row in rows:
        if not row.columns:
            parts.append(text(0, y + 20, shorten(row.label, layout.width), "axis over"))
            y += 30
        elif any(row.columns):
            parts.append(_row(row, axes, y, layout))
            y += layout.row
    grid: list[Markup] = []
    for axis in axes:
        about = 2 if len(columns) > 2 else 4
        grid += grid_below(axis, layout.head - 6, y, about=about, title=unit)
        if axis.low <= 0 <= axis.high and reach[0] <= 0 <= reach[1]:
            grid.append(line(axis(0), layout.head - 6, axis(0), y, "zero"))
    return y + layout.foot, [*grid, *parts]


def _row(row: DotRow, axes: Sequence[Axis], y: float, layout: _Layout) -> Markup:
    parts = _labels(row, y, layout)
    middle = y + layout.line
    tip = None
    for dots, axis in zip(row.columns, axes, strict=True):
        parts += [_dot(dot, axis, middle, row.run) for dot in dots]
        first = next((dot for dot in dots if not dot.second), None)
        if first is not None:
            tip = first.tip
            number = first.text
            if number is None:
                number = _signed(first.value)
            class_ = "number end strong" if first.sure and first.text is None else "number end"
            parts.append(text(axis.end + layout.number + 4, middle + 4, number, class_))
    if row.run is None:
        return tag("g", *parts)
    return tag("g", *parts, class_="hot", data_run=row.run, data_tip=tip)


def _labels(row: DotRow, y: float, layout: _Layout) -> list[Markup]:
    if layout.label:
        room = layout.label - 8
        middle = y + layout.row / 2
        if not row.note:
            return [text(0, middle + 4, shorten(row.label, room), "number" if row.run else "")]
        return [
            text(0, middle - 2, shorten(row.label, room), "number"),
            text(0, middle + 12, shorten(row.note, room * _LETTER), "small"),
        ]
    room = min(layout.width - 10, 7.3 * len(row.label) + 4)
    return [
        text(0, y + 14, shorten(row.label, room), "number"),
        text(layout.width, y + 14, shorten(row.note, (layout.width - room - 10) * _LETTER),
             "small end"),
    ]  # fmt: skip


def _signed(value: float) -> str:
    text = format_fixed(value, 2 if abs(value) < 1 else 1)
    return f"+{text}" if text.strip("0.") and value > 0 else text


def _dot(dot: Dot, axis: Axis, middle: float, run: str | None) -> Markup:
    has_outer = dot.outer != (None, None)
    y = middle + (9 if dot.second else 0 if has_outer or dot.text is not None else -2)
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
            for end, bound, sign in ((left, low, -1), (right, high, 1))
            if end != bound
        ]
    shape, size = (3, 3.6) if dot.second else (0, 5.0)
    class_ = f"{dot.class_} {'fill' if dot.sure else 'ring'} hot"
    x, data = axis(axis.clip(dot.value)), {"data_run": run, "data_tip": dot.tip}
    parts.append(mark(shape, x, y, size, class_=class_, **data))
    return tag("g", *parts)


def _arrow(x: float, y: float, sign: int, class_: str) -> Markup:
    """The interval goes on beyond the picture."""
    return polygon([(x + 5 * sign, y), (x, y - 3.5), (x, y + 3.5)], class_=f"{class_} fill")
