"""RankMe against probe accuracy, one dot a run, with Spearman's correlation within a method."""

from __future__ import annotations

from jessl.report.charts.ranking import axis_title
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
from jessl.report.formatting import finite, percent, plain, spearman
from jessl.report.model import ReportData, RunData

_SHAPES = ("●", "■", "▲", "◆")


def draw(report: ReportData, *, roomy: bool) -> Markup | None:
    """The scatter, 880 px wide or 372 px; None when no run has both numbers."""
    pairs = _pairs(report)
    name = report.accuracy
    if name is None or not any(pairs):
        return None
    width, height = (880.0, 440.0) if roomy else (372.0, 360.0)
    left, right, top, bottom = (
        (56.0, width - 84, 16.0, height - 52) if roomy else (40.0, width - 10, 16.0, height - 48)
    )
    every = [p for group in pairs for p in group]
    x_axis = Axis.over([x for _, x, _ in every], left, right, pad=0.08)
    inside = [y for _, _, y in every]
    lines, _ = baselines(report)
    y_axis = Axis.over([*inside, *(v for _, v in lines)], bottom, top, pad=0.08)
    parts = _frame(x_axis, y_axis, report, left, right, bottom)
    for _, value in lines:
        y = y_axis(value)
        parts.append(line(left, y, right, y, "dash"))
    seeds = _seeds(report)
    for index, group in enumerate(pairs):
        colour = f"m{index % 8}"
        for run, x, y in group:
            px, py = x_axis(x), y_axis(y)
            parts += _bars(run, report, x_axis, y_axis, px, py, colour)
            if report.is_chosen(run):
                parts.append(tag("circle", cx=px, cy=py, r=11, class_="halo"))
            shape = seeds.index(run.seed) if run.seed in seeds else 0
            parts.append(
                mark(
                    shape,
                    px,
                    py,
                    5.5,
                    class_=f"{colour} fill hot",
                    data_run=run.name,
                    data_tip=f"{run.name}: {axis_title(report.criterion)} {plain(x)}, "
                    f"accuracy {percent(y)}",
                )
            )
        if group and roomy:
            _, x, y = max(group, key=lambda p: p[1])
            parts.append(
                text(
                    x_axis(x) + 16,
                    y_axis(y) + 4,
                    fit(report.groups[index].method, 84),
                    f"strong {colour} ink over",
                )
            )
    for said, value in lines:
        label = f"{said} {percent(value)}"
        parts.append(text(right - 4, y_axis(value) - 6, label, "end tick over"))
    says = f"{axis_title(report.criterion)} against accuracy of {len(every)} runs"
    return picture(width, height, says, *parts)


def legend(report: ReportData) -> Markup:
    """Colours with Spearman's correlation, and shapes with seeds."""
    items = []
    for index, group in enumerate(_pairs(report)):
        if not group:
            continue
        rho = spearman([x for _, x, _ in group], [y for _, _, y in group])
        told = (
            f"runs: {len(group)}"
            if rho is None
            else f"Spearman ρ = {plain(rho, 2)}, {len(group)} runs"
        )
        items.append(
            tag(
                "li",
                tag("i", class_=f"dot m{index % 8}"),
                tag("b", report.groups[index].method),
                f" {told}",
            )
        )
    seeds = _seeds(report)
    if len(seeds) > 1:
        items += [
            tag("li", tag("span", _SHAPES[i % 4], class_="shape"), f" seed {seed}")
            for i, seed in enumerate(seeds)
        ]
    if count := len(report.chosen_runs()):
        said = " chosen run" if count == 1 else " chosen runs"
        items.append(tag("li", tag("i", class_="dot hollow"), said))
    return tag("ul", join(items), class_="legend")


def baselines(report: ReportData) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Baselines that fit into the picture, and those so far off that they would flatten it."""
    values = [y for group in _pairs(report) for _, _, y in group]
    told = [
        (str(name), number)
        for name, value in (report.told.get("baselines") or {}).items()
        if (number := finite(value)) is not None
    ]
    if not values:
        return [], told
    room = max(2.0 * (max(values) - min(values)), 0.02)
    near = [(n, v) for n, v in told if min(values) - room <= v <= max(values) + room]
    return near, [item for item in told if item not in near]


def _pairs(report: ReportData) -> list[list[tuple[RunData, float, float]]]:
    found = []
    for group in report.groups:
        mine = []
        for run in group.runs:
            x = run.number(report.criterion, "pretrain")
            y = run.number(report.accuracy, "test") if report.accuracy else None
            if x is not None and y is not None:
                mine.append((run, x, y))
        found.append(mine)
    return found


def _seeds(report: ReportData) -> list[int]:
    return sorted({run.seed for run in report.runs() if run.seed is not None})


def _bars(
    run: RunData, report: ReportData, x_axis: Axis, y_axis: Axis, px: float, py: float, colour: str
) -> list[Markup]:
    """Thin intervals, cut at the frame, which follows the dots and not the widest interval."""
    parts = []
    across = run.last(report.criterion, "pretrain")
    up = run.last(report.accuracy or "", "test")
    if across and (low := finite(across.low)) is not None and (high := finite(across.high)):
        ends = (max(low, x_axis.low), min(high, x_axis.high))
        parts.append(line(x_axis(ends[0]), py, x_axis(ends[1]), py, f"whisker {colour} edge"))
    if up and (low := finite(up.low)) is not None and (high := finite(up.high)) is not None:
        ends = (max(low, y_axis.low), min(high, y_axis.high))
        parts.append(line(px, y_axis(ends[0]), px, y_axis(ends[1]), f"whisker {colour} edge"))
    return parts


def _frame(
    x_axis: Axis, y_axis: Axis, report: ReportData, left: float, right: float, bottom: float
) -> list[Markup]:
    parts = []
    ticks = y_axis.ticks(5)
    for tick, label in zip(ticks, tick_labels([100 * t for t in ticks]), strict=True):
        parts.append(line(left, y_axis(tick), right, y_axis(tick), "rule"))
        parts.append(text(left - 8, y_axis(tick) + 4, label, "end tick"))
    ticks = x_axis.ticks(6)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts.append(text(x_axis(tick), bottom + 18, label, "mid tick"))
    parts.append(line(left, bottom, right, bottom, "base"))
    parts.append(text((left + right) / 2, bottom + 40, axis_title(report.criterion), "mid axis"))
    parts.append(text(left, 10, "accuracy, %", "axis"))
    return parts
