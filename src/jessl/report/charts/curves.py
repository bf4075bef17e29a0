"""Small line charts that share a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.axis import Axis, grid_left, tick_labels
from jessl.report.charts.svg import line, panel, shorten, spread_apart, tag, text
from jessl.report.formatting import mean

WIDTH, HEIGHT = 420.0, 264.0
LEFT, TOP, BOTTOM = 52.0, 46.0, 218.0
MOST_POINTS = 240

Points = list[tuple[float, float | None]]


@dataclass(frozen=True)
class Series:
    """One line: the run it belongs to, its label at the line's end, its colour, its points."""

    run: str
    label: str
    colour: str
    points: Points


def line_panel(
    title: str,
    lines: Sequence[Series],
    x_title: str,
    label_title: str,
    *,
    x_log: bool = False,
    y_log: bool | None = None,
    from_zero: bool = False,
    label_width: float = 50.0,
    noun: str = "runs",
) -> Markup | None:
    """One small chart; None when no point is finite.

    Args:
        title: above the chart.
        lines: where a number is None, the line has a gap.
        x_title: below the chart.
        label_title: above the labels at the ends of the lines.
        x_log: a logarithmic axis of x.
        y_log: a logarithmic axis of y; None: where the range asks for it.
        from_zero: the axis of y is linear and begins at zero.
        label_width: px for the labels at the ends of the lines.
        noun: what a line is, in the plural, for those who do not see the chart.
    """
    known = [(x, y) for s in lines for x, y in s.points if y is not None]
    if not known:
        return None
    xs, ys = [x for x, _ in known], [y for _, y in known]
    if from_zero:
        y_log, ys = False, [0.0, *ys]
    if y_log is None:
        # a loss that falls by this factor would be a flat line after its first tenth
        y_log = min(ys) > 0 and max(ys) / min(ys) > 30
    labelled = any(s.label for s in lines)
    right = WIDTH - (label_width + 16 if labelled else 16)
    # a training begins at zero, a spectrum at its first value
    x_axis = Axis.over([*([] if x_log else [0.0]), *xs], LEFT, right, log=x_log, pad=0.0)
    y_axis = Axis.over(ys, BOTTOM, TOP if labelled else TOP - 12, log=y_log, pad=0.06)
    parts = [text(0, 16, shorten(title, WIDTH - 60), "strong")]
    if y_log:
        parts.append(text(WIDTH - 4, 16, "log scale", "end tick"))
    parts += grid_left(y_axis, LEFT, right, about=4)
    ticks = x_axis.ticks(5)
    for tick, label in zip(ticks, tick_labels(ticks, log=x_log), strict=True):
        parts.append(text(x_axis(tick), BOTTOM + 18, label, "mid tick"))
    parts.append(line(LEFT, BOTTOM, right, BOTTOM, "base"))
    parts.append(text((LEFT + right) / 2, BOTTOM + 38, x_title, "mid axis"))
    parts += [_line(s, x_axis, y_axis) for s in lines]
    if labelled:
        parts += _end_labels(lines, y_axis, right, label_width)
        parts.append(text(WIDTH - 4, TOP - 12, label_title, "end tick"))
    return panel(
        WIDTH,
        HEIGHT,
        f"{title}, {len(lines)} {noun}",
        *parts,
        data_x=x_axis.scale(),
        data_y=y_axis.scale(),
        data_of=x_title,
    )


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """At most `most` points: the mean of neighbours; a stretch without numbers stays one."""
    if len(points) <= most:
        return points
    size = math.ceil(len(points) / most)
    thinned: Points = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        thinned.append((math.fsum(x for x, _ in part) / len(part), mean(y for _, y in part)))
    return thinned


def thin_log(points: list[tuple[float, float]], most: int = 160) -> Points:
    """Points as even along a logarithmic axis as whole positions allow; both ends stay."""
    last = len(points) - 1
    if last < most:
        return [(x, y) for x, y in points]
    places = {round(math.exp(math.log(last + 1) * i / (most - 1))) - 1 for i in range(most)}
    return [points[i] for i in sorted(places | {last})]


def _line(series: Series, x_axis: Axis, y_axis: Axis) -> Markup:
    """A line with gaps where there is no number; a number between two gaps is a dot."""
    strokes: list[list[tuple[float, float]]] = [[]]
    for x, y in series.points:
        if y is None:
            strokes.append([])
        else:
            strokes[-1].append((x_axis(x), y_axis(y)))
    path = " ".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in stroke)
        for stroke in strokes
        if len(stroke) > 1
    )
    parts: list[Markup] = []
    if path:
        # the wide transparent line is what the pointer hits
        parts.append(tag("path", d=path, class_="grab"))
        parts.append(tag("path", d=path, class_=f"line {series.colour} edge"))
    parts += [
        tag("circle", cx=stroke[0][0], cy=stroke[0][1], r=2.5, class_=f"{series.colour} fill")
        for stroke in strokes
        if len(stroke) == 1
    ]
    return tag("g", *parts, class_="series hot", data_run=series.run)


def _end_labels(lines: Sequence[Series], y_axis: Axis, right: float, width: float) -> list[Markup]:
    """Labels beside the ends of their lines, moved apart where needed."""
    ends: dict[str, list[float]] = {}
    paint: dict[str, str] = {}
    for series in lines:
        last = [y for _, y in series.points if y is not None][-1:]
        ends.setdefault(series.label, []).extend(y_axis(y) for y in last)
        paint[series.label] = series.colour
    labels = [label for label in ends if ends[label]]
    # above a dozen, labels would cover each other wherever they stand
    labels = labels[:: math.ceil(len(labels) / 12) or 1]
    wanted = [sum(ends[label]) / len(ends[label]) for label in labels]
    parts: list[Markup] = []
    places = spread_apart(wanted, 13, TOP, BOTTOM)
    for label, was, now in zip(labels, wanted, places, strict=True):
        if abs(now - was) > 3:
            parts.append(line(right + 1, was, right + 8, now, "leader"))
        parts.append(tag("circle", cx=right + 12, cy=now, r=3.5, class_=f"{paint[label]} fill"))
        parts.append(text(right + 20, now + 4, shorten(label, width), "number"))
    return parts
