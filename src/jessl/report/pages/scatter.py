"""The criterion against the accuracy of a probe: one mark a run."""

from __future__ import annotations

from markupsafe import Markup

from jessl.core.rank_correlation import spearman
from jessl.records import Record
from jessl.report.charts.scatter import (
    Frame,
    Interval,
    Point,
    PointLabel,
    Reference,
    scatter,
    scatter_axes,
)
from jessl.report.charts.svg import Size, drawing
from jessl.report.criterion import (
    criterion_scale,
    criterion_title,
    criterion_unit,
    format_criterion,
)
from jessl.report.formatting import finite, format_number, format_percent
from jessl.report.model import ReportData, RunData
from jessl.report.pages.content import LegendItem

_SHAPES = ("●", "■", "▲", "◆")
Pair = tuple[RunData, float, float]


def draw_scatter(report: ReportData, size: Size) -> Markup | None:
    """The scatter; None when no run has both numbers."""
    groups = _pairs(report)
    if report.accuracy is None or not any(groups):
        return None
    frame = (
        Frame(56.0, size.width - 84, 16.0, 388.0)
        if size.wide
        else Frame(40.0, size.width - 10, 16.0, 312.0)
    )
    points, labels = [], []
    for index, pairs in enumerate(groups):
        points += [_point(report, pair, f"m{index % 8}") for pair in pairs]
        if pairs and size.wide:
            _, x, y = max(pairs, key=lambda pair: pair[1])
            name = report.groups[index].method
            x = criterion_scale(report.criterion) * x
            labels.append(PointLabel(x, 100 * y, name, f"m{index % 8}"))
    near, _ = baselines(report)
    references = [Reference(100 * v, f"{name} {format_percent(v)}") for name, v in near]
    across, up = scatter_axes(points, references, frame)
    title = criterion_title(report.criterion)
    x_title = title + criterion_unit(report.criterion)
    parts = scatter(
        points, across, up, frame, x_title, "accuracy, %", references=references, labels=labels
    )
    height = frame.bottom + (52 if size.wide else 48)
    return drawing(size.width, height, f"{title} against accuracy of {len(points)} runs", *parts)


def scatter_legend(report: ReportData) -> list[LegendItem]:
    """Colours with Spearman's correlation, and shapes with seeds."""
    items = []
    for index, pairs in enumerate(_pairs(report)):
        if not pairs:
            continue
        rho = spearman([x for _, x, _ in pairs], [y for _, _, y in pairs]).value
        text = f"runs: {len(pairs)}"
        if rho is not None:
            text = f"Spearman ρ = {format_number(rho, 2)}, {len(pairs)} runs"
        name = report.groups[index].method
        items.append(LegendItem(text, class_=f"dot m{index % 8}", name=name))
    seeds = _seeds(report)
    if len(seeds) > 1:
        items += [LegendItem(f"seed {s}", shape=_SHAPES[i % 4]) for i, s in enumerate(seeds)]
    if number := len(report.chosen_runs()):
        items.append(LegendItem("chosen run" + "s" * (number > 1), class_="dot hollow"))
    return items


def baselines(report: ReportData) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Baselines that fit into the picture, and those so far off that they would flatten it."""
    values = [y for pairs in _pairs(report) for _, _, y in pairs]
    every = list(report.study.baselines.items())
    if not values:
        return [], every
    margin = max(2.0 * (max(values) - min(values)), 0.02)
    near = [(n, v) for n, v in every if min(values) - margin <= v <= max(values) + margin]
    return near, [item for item in every if item not in near]


def _pairs(report: ReportData) -> list[list[Pair]]:
    """Runs with criterion and accuracy, group by group."""
    groups = []
    for group in report.groups:
        pairs = []
        for run in group.runs:
            x = _criterion(run, report.criterion)
            y = run.number(report.accuracy, "test") if report.accuracy else None
            if x is not None and y is not None:
                pairs.append((run, x, y))
        groups.append(pairs)
    return groups


def _criterion(run: RunData, criterion: str) -> float | None:
    """The value that its interval belongs to: corrected for few rows, where it is known."""
    record = run.last(criterion, "pretrain")
    if record is None:
        return None
    corrected = finite((record.extra or {}).get("debiased"))
    return finite(record.value) if corrected is None else corrected


def _seeds(report: ReportData) -> list[int]:
    return sorted({run.seed for run in report.runs() if run.seed is not None})


def _point(report: ReportData, pair: Pair, class_: str) -> Point:
    run, x, y = pair
    seeds = _seeds(report)
    title = criterion_title(report.criterion)
    scale = criterion_scale(report.criterion)
    return Point(
        scale * x,
        100 * y,
        class_,
        f"{run.name}: {title} {format_criterion(report.criterion, x)}, "
        f"accuracy {format_percent(y)}",
        run.name,
        x_interval=_interval(run.last(report.criterion, "pretrain"), scale),
        y_interval=_interval(run.last(report.accuracy or "", "test"), 100.0),
        shape=seeds.index(run.seed) if run.seed in seeds else 0,
        halo=report.is_chosen(run),
    )


def _interval(record: Record | None, scale: float = 1.0) -> Interval | None:
    low, high = (finite(record.low), finite(record.high)) if record else (None, None)
    return None if low is None or high is None else (scale * low, scale * high)
