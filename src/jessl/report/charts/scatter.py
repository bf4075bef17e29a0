"""One number against another: marks in a frame, with intervals and lines of reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.axis import Axis, grid_left, tick_labels
from jessl.report.charts.svg import line, mark, shorten, tag, text

Interval = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A mark; intervals are cut at the frame, which follows the marks. halo: a ring around it."""

    x: float
    y: float
    class_: str
    tip: str
    run: str
    x_interval: Interval | None = None
    y_interval: Interval | None = None
    shape: int = 0
    size: float = 5.5
    halo: bool = False


@dataclass(frozen=True)
class Reference:
    """A horizontal line and its label, such as a baseline."""

    y: float
    label: str


@dataclass(frozen=True)
class PointLabel:
    """A label beside a point."""

    x: float
    y: float
    text: str
    class_: str


@dataclass(frozen=True)
class Frame:
    """Where the axes lie, px."""

    left: float
    right: float
    top: float
    bottom: float


def scatter_axes(
    points: Sequence[Point], references: Sequence[Reference], frame: Frame, *, pad: float = 0.08
) -> tuple[Axis, Axis]:
    """Axes over the marks and the lines of reference."""
    across = Axis.over([p.x for p in points], frame.left, frame.right, pad=pad)
    heights = [*(p.y for p in points), *(r.y for r in references)]
    return across, Axis.over(heights, frame.bottom, frame.top, pad=pad)


def scatter(
    points: Sequence[Point],
    across: Axis,
    up: Axis,
    frame: Frame,
    x_title: str,
    y_title: str,
    *,
    references: Sequence[Reference] = (),
    labels: Sequence[PointLabel] = (),
    diagonal: bool = False,
) -> list[Markup]:
    """The parts of the drawing.

    Args:
        points: the marks.
        across: the axis of x.
        up: the axis of y.
        frame: where the axes lie.
        x_title: below the frame.
        y_title: above the axis of y.
        references: horizontal lines.
        labels: names of groups beside one of their points.
        diagonal: whether to draw the line on which both numbers are equal.
    """
    parts = grid_left(up, frame.left, frame.right, about=5)
    ticks = across.ticks(6)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts.append(text(across(tick), frame.bottom + 18, label, "mid tick"))
    parts.append(line(frame.left, frame.bottom, frame.right, frame.bottom, "base"))
    parts.append(text(across.middle, frame.bottom + 40, x_title, "mid axis"))
    parts.append(text(frame.left, frame.top - 6, y_title, "axis"))
    if diagonal:
        low, high = max(across.low, up.low), min(across.high, up.high)
        parts.append(line(across(low), up(low), across(high), up(high), "dash"))
    parts += [line(frame.left, up(r.y), frame.right, up(r.y), "dash") for r in references]
    for point in points:
        parts += _mark(point, across, up)
    for name in labels:
        x, y = across(name.x) + 16, up(name.y) + 4
        parts.append(text(x, y, shorten(name.text, 84), f"strong {name.class_} ink over"))
    for reference in references:
        parts.append(text(frame.right - 4, up(reference.y) - 6, reference.label, "end tick over"))
    return parts


def _mark(point: Point, across: Axis, up: Axis) -> list[Markup]:
    x, y = across(point.x), up(point.y)
    parts = []
    if point.x_interval is not None:
        low, high = (across(across.clip(v)) for v in point.x_interval)
        parts.append(line(low, y, high, y, f"whisker {point.class_} edge"))
    if point.y_interval is not None:
        low, high = (up(up.clip(v)) for v in point.y_interval)
        parts.append(line(x, low, x, high, f"whisker {point.class_} edge"))
    if point.halo:
        parts.append(tag("circle", cx=x, cy=y, r=11, class_="halo"))
    class_ = f"{point.class_} fill hot"
    run = {"data_run": point.run, "data_tip": point.tip}
    parts.append(mark(point.shape, x, y, point.size, class_=class_, **run))
    return parts
