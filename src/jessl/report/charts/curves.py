"""Line charts: what happened over training, and the spectra of singular values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jessl.records import Record
from jessl.report.charts.svg import (
    Axis,
    Markup,
    fit,
    line,
    picture,
    spaced,
    tag,
    text,
    tick_labels,
)
from jessl.report.formatting import finite, mean, value_order
from jessl.report.model import GroupData, shown

WIDTH, HEIGHT = 420.0, 264.0
LEFT, TOP, BOTTOM = 52.0, 46.0, 218.0
MOST_POINTS = 240
FLOOR = 1e-9

Points = list[tuple[float, float | None]]


@dataclass(frozen=True)
class Series:
    """One line: the run it belongs to, its label at the line's end, its colour, its points."""

    run: str
    label: str
    colour: str
    points: Points


def colours(group: GroupData, index: int) -> dict[str, str]:
    """Value of the hyperparameter -> class of its colour, light to dark with its size.

    A group with a single value keeps the colour of its method.
    """
    values = sorted({shown(r.value): r.value for r in group.runs}.values(), key=value_order)
    if len(values) < 2:
        return {shown(v): f"m{index % 8}" for v in values}
    last = len(values) - 1
    return {shown(v): f"r{round(i / last * 7)}" for i, v in enumerate(values)}


def over_training(
    group: GroupData,
    index: int,
    name: str,
    split: str,
    title: str,
    *,
    percents: bool = False,
    from_zero: bool = False,
) -> Markup | None:
    """A panel of records by epoch (by step where epochs are missing); None without records."""
    found = [(run, run.curve(name, split)) for run in group.runs]
    found = [(run, records) for run, records in found if records]
    if not found:
        return None
    by_epoch = all(r.epoch is not None for _, records in found for r in records)
    paint = colours(group, index)
    lines = [
        Series(
            run.name,
            shown(run.value) if group.parameter else "",
            paint[shown(run.value)],
            curve_points(records, by_epoch=by_epoch, percents=percents),
        )
        for run, records in found
    ]
    x_title = "epoch" if by_epoch else "step"
    return panel(title, lines, x_title, group.parameter, from_zero=from_zero)


def spectrum(group: GroupData, index: int, name: str, title: str) -> Markup | None:
    """Singular values over the largest, log-log; None without a spectrum."""
    paint = colours(group, index)
    lines = []
    for run in group.runs:
        values = run.spectrum(name)
        if values and values[0] > 0:
            # zeros have no logarithm; below the floor there is only rounding
            kept = [(k + 1.0, v / values[0]) for k, v in enumerate(values) if v > FLOOR * values[0]]
            label = shown(run.value) if group.parameter else ""
            lines.append(Series(run.name, label, paint[shown(run.value)], _thin_log(kept)))
    if not lines:
        return None
    return panel(title, lines, "place in the spectrum", group.parameter, x_log=True, y_log=True)


def panel(
    title: str,
    lines: list[Series],
    x_title: str,
    label_title: str,
    *,
    x_log: bool = False,
    y_log: bool | None = None,
    from_zero: bool = False,
    room: float = 50.0,
    counted: str = "runs",
) -> Markup | None:
    """One small chart; None when no point is finite. y_log None: where the range asks for it.

    from_zero: the y axis is linear and begins at zero. room: px for the labels at the ends of the
    lines. counted: what a line is, in the plural, for those who do not see the chart.
    """
    seen = [(x, y) for s in lines for x, y in s.points if y is not None]
    if not seen:
        return None
    xs, ys = [x for x, _ in seen], [y for _, y in seen]
    if from_zero:
        y_log, ys = False, [0.0, *ys]
    if y_log is None:
        # a loss that falls by this factor would be a flat line after its first tenth
        y_log = min(ys) > 0 and max(ys) / min(ys) > 30
    labelled = any(s.label for s in lines)
    right = WIDTH - (room + 16 if labelled else 16)
    # a training begins at zero, a spectrum at its first value
    x_axis = Axis.over([*([] if x_log else [0.0]), *xs], LEFT, right, log=x_log, pad=0.0)
    y_axis = Axis.over(ys, BOTTOM, TOP if labelled else TOP - 12, log=y_log, pad=0.06)
    parts = [text(0, 16, fit(title, WIDTH - 60), "strong")]
    if y_log:
        parts.append(text(WIDTH - 4, 16, "log scale", "end tick"))
    ticks = y_axis.ticks(4)
    for tick, label in zip(ticks, tick_labels(ticks, log=y_log), strict=True):
        parts.append(line(LEFT, y_axis(tick), right, y_axis(tick), "rule"))
        parts.append(text(LEFT - 8, y_axis(tick) + 4, label, "end tick"))
    ticks = x_axis.ticks(5)
    for tick, label in zip(ticks, tick_labels(ticks, log=x_log), strict=True):
        parts.append(text(x_axis(tick), BOTTOM + 18, label, "mid tick"))
    parts.append(line(LEFT, BOTTOM, right, BOTTOM, "base"))
    parts.append(text((LEFT + right) / 2, BOTTOM + 38, x_title, "mid axis"))
    parts += [_line(s, x_axis, y_axis) for s in lines]
    if labelled:
        parts += _end_labels(lines, y_axis, right, room)
        parts.append(text(WIDTH - 4, TOP - 12, label_title, "end tick"))
    svg = picture(WIDTH, HEIGHT, f"{title}, {len(lines)} {counted}", *parts)
    return tag(
        "div",
        svg,
        class_="panel",
        data_x=x_axis.scale(),
        data_y=y_axis.scale(),
        data_of=x_title,
    )


def curve_points(records: list[Record], *, by_epoch: bool, percents: bool = False) -> Points:
    """Values by epoch, or by step; a number that is not finite is a gap."""
    scale = 100.0 if percents else 1.0
    return thin([(_place(r, by_epoch), _times(finite(r.value), scale)) for r in records])


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """At most `most` points: the mean of neighbours; a stretch without numbers stays one."""
    if len(points) <= most:
        return points
    size = math.ceil(len(points) / most)
    found: Points = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        found.append((math.fsum(x for x, _ in part) / len(part), mean(y for _, y in part)))
    return found


def _thin_log(points: list[tuple[float, float]], most: int = 160) -> Points:
    """Points as even along a logarithmic axis as whole places allow; both ends stay."""
    last = len(points) - 1
    if last < most:
        return [(x, y) for x, y in points]
    places = {round(math.exp(math.log(last + 1) * i / (most - 1))) - 1 for i in range(most)}
    return [points[i] for i in sorted(places | {last})]


def _place(record: Record, by_epoch: bool) -> float:
    return float(record.epoch or 0.0) if by_epoch else float(record.step or 0)


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def _line(series: Series, x_axis: Axis, y_axis: Axis) -> Markup:
    """A line with gaps where there is no number; a number between two gaps is a dot."""
    strokes: list[list[str]] = [[]]
    for x, y in series.points:
        if y is None:
            strokes.append([])
        else:
            strokes[-1].append(f"{x_axis(x):.1f} {y_axis(y):.1f}")
    drawn = " ".join("M" + "L".join(s) for s in strokes if len(s) > 1)
    parts: list[Markup] = []
    if drawn:
        # the wide unseen line is what the pointer finds
        parts.append(tag("path", d=drawn, class_="grab"))
        parts.append(tag("path", d=drawn, class_=f"line {series.colour} edge"))
    for stroke in strokes:
        if len(stroke) == 1:
            x_text, y_text = stroke[0].split()
            parts.append(tag("circle", cx=x_text, cy=y_text, r=2.5, class_=f"{series.colour} fill"))
    return tag("g", *parts, class_="series hot", data_run=series.run)


def _end_labels(lines: list[Series], y_axis: Axis, right: float, room: float) -> list[Markup]:
    """Values of the hyperparameter beside the ends of their lines, moved apart where needed."""
    ends: dict[str, list[float]] = {}
    paint: dict[str, str] = {}
    for series in lines:
        last = [y for _, y in series.points if y is not None][-1:]
        ends.setdefault(series.label, []).extend(y_axis(y) for y in last)
        paint[series.label] = series.colour
    labels = [label for label in ends if ends[label]]
    # above a dozen, labels would cover each other whatever their places
    labels = labels[:: math.ceil(len(labels) / 12) or 1]
    wanted = [sum(ends[label]) / len(ends[label]) for label in labels]
    parts: list[Markup] = []
    places = spaced(wanted, 13, TOP, BOTTOM)
    for label, was, now in zip(labels, wanted, places, strict=True):
        if abs(now - was) > 3:
            parts.append(line(right + 1, was, right + 8, now, "leader"))
        parts.append(tag("circle", cx=right + 12, cy=now, r=3.5, class_=f"{paint[label]} fill"))
        parts.append(text(right + 20, now + 4, fit(label, room), "number"))
    return parts
