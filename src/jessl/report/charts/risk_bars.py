"""The four components of the risk as stacked signed bars, with intervals and the total."""

from __future__ import annotations

from jessl.report.charts.svg import (
    Axis,
    Markup,
    fit,
    fits,
    join,
    line,
    picture,
    tag,
    text,
    tick_labels,
)
from jessl.report.formatting import finite, percent
from jessl.report.model import ReportData, RunData
from jessl.schema import COMPONENT_NAMES, MERGED_TITLE, component_title

ROW, BAR = 34.0, 20.0
HEAD, FOOT = 34.0, 46.0


def names(report: ReportData) -> dict[str, str]:
    """Component -> its name in words; without a supervised twin the first two are one."""
    found = {part: component_title(part) for part in COMPONENT_NAMES}
    flags = merged_flags(report)
    if flags == {True}:
        del found["approximation"]
        found["usability"] = MERGED_TITLE
    elif True in flags:
        found["usability"] = f"usability (without a supervised twin: {MERGED_TITLE})"
    return found


def name_for(run: RunData, part: str) -> str:
    """The name of a component of one run, in words."""
    return component_title(part, merged=is_merged(run))


def merged_flags(report: ReportData) -> set[bool]:
    """Over the runs with a decomposition: were approximation and usability measured as one?"""
    return {is_merged(run) for run in report.runs() if has_risk(run)}


def is_merged(run: RunData) -> bool:
    """Whether approximation and usability were measured as one."""
    records = [run.last(f"risk/{part}", "test") for part in ("usability", "approximation")]
    return any(bool((r.extra or {}).get("merged")) for r in records if r is not None)


def has_risk(run: RunData) -> bool:
    """Whether any component was measured."""
    return any(run.last(f"risk/{part}", "test") is not None for part in COMPONENT_NAMES)


def legend(report: ReportData) -> Markup:
    """Colours of the components and the sign of the total."""
    items = [
        tag("li", tag("i", class_=f"dot square k{COMPONENT_NAMES.index(part)}"), f" {said}")
        for part, said in names(report).items()
    ]
    items.append(tag("li", tag("span", "◆", class_="shape"), " total risk"))
    return tag("ul", join(items), class_="legend")


def draw(report: ReportData, *, roomy: bool) -> Markup | None:
    """The bars, 880 px wide or 372 px; None when no run has a decomposition."""
    groups = [
        (index, group, sorted((r for r in group.runs if has_risk(r)), key=_total_or_last))
        for index, group in enumerate(report.groups)
    ]
    groups = [g for g in groups if g[2]]
    if not groups:
        return None
    width = 880.0 if roomy else 372.0
    left, right = (196.0, 800.0) if roomy else (112.0, 322.0)
    values = [0.0]
    for _, _, runs in groups:
        for run in runs:
            values += _reach(run)
    axis = Axis.over(values, left, right, pad=0.03)
    parts: list[Markup] = []
    y = 4.0
    for index, group, runs in groups:
        # where a row has no room for the parameter's name, the heading names it for all
        named = roomy and all(fits(run.setting(), left - 14) for run in runs)
        head = f"{group.method} {'' if named else group.parameter}".strip()
        parts.append(text(6, y + 20, fit(head, 340), f"strong m{index % 8} ink"))
        y += HEAD - 6
        for run in runs:
            parts.append(_row(run, names(report), axis, y, width, roomy, named))
            y += ROW
        y += 8
    ticks = axis.ticks(7 if roomy else 3)
    grid = [line(axis(t), 28, axis(t), y, "rule") for t in ticks]
    grid += [
        text(axis(t), y + 16, label, "mid tick")
        for t, label in zip(ticks, tick_labels([100 * t for t in ticks]), strict=True)
    ]
    grid.append(text((left + right) / 2, y + 38, "error, percentage points", "mid axis"))
    zero = line(axis(0), 28, axis(0), y, "zero")
    return picture(width, y + FOOT, "Components of the risk of every run", *grid, *parts, zero)


def _total(run: RunData) -> float | None:
    return run.number("risk/total", "test")


def _total_or_last(run: RunData) -> float:
    total = _total(run)
    return float("inf") if total is None else total


def _reach(run: RunData) -> list[float]:
    """Every number that the bar of a run draws."""
    found = []
    up = down = 0.0
    for part in COMPONENT_NAMES:
        record = run.last(f"risk/{part}", "test")
        value = None if record is None else finite(record.value)
        if record is None or value is None:
            continue
        base = up if value >= 0 else down
        for bound in (value, finite(record.low), finite(record.high)):
            if bound is not None:
                found.append(base + bound)
        if value >= 0:
            up += value
        else:
            down += value
    record = run.last("risk/total", "test")
    if record is not None:
        found += [v for v in map(finite, (record.value, record.low, record.high)) if v is not None]
    return found


def _row(
    run: RunData, said: dict[str, str], axis: Axis, y: float, width: float, roomy: bool, named: bool
) -> Markup:
    """One bar: what adds error to the right of zero, what takes error away to the left."""
    top = y + (ROW - BAR) / 2
    label = run.setting(with_parameter=named or run.value is None)
    parts = [text(6, y + ROW / 2 + 4, fit(label, axis.start - 14), "" if roomy else "small")]
    up = down = 0.0
    whiskers = []
    # zero by convention is no measurement
    told = [part for part in said if not (part == "approximation" and is_merged(run))]
    for place, part in enumerate(told):
        record = run.last(f"risk/{part}", "test")
        value = None if record is None else finite(record.value)
        if record is None or value is None:
            continue
        base = up if value >= 0 else down
        if value >= 0:
            up += value
        else:
            down += value
        low, high = finite(record.low), finite(record.high)
        tip = f"{run.name}: {name_for(run, part)} {percent(value)}"
        if low is not None and high is not None:
            tip += f" ({percent(low)} to {percent(high)})"
            # each interval has its own height in the bar, so that none hides another
            level = top + BAR * (place + 0.5) / len(told)
            whiskers.append(line(axis(base + low), level, axis(base + high), level, "interval"))
        ends = sorted((axis(base), axis(base + value)))
        parts.append(
            tag(
                "rect",
                x=ends[0],
                y=top,
                width=max(ends[1] - ends[0], 0.5),
                height=BAR,
                class_=f"k{COMPONENT_NAMES.index(part)} fill part hot",
                data_run=run.name,
                data_tip=tip,
            )
        )
    parts += whiskers
    parts += _sum(run, axis, top, width)
    return tag("g", *parts)


def _sum(run: RunData, axis: Axis, top: float, width: float) -> list[Markup]:
    record, total = run.last("risk/total", "test"), _total(run)
    if record is None or total is None:
        return []
    low, high = finite(record.low), finite(record.high)
    said = f"{run.name}: total risk {percent(total)}"
    x, middle = axis(total), top + BAR / 2
    parts = []
    if low is not None and high is not None:
        said += f" ({percent(low)} to {percent(high)})"
        parts.append(line(axis(low), top + BAR + 4, axis(high), top + BAR + 4, "total"))
    corners = f"{x:.1f},{top - 3:.1f} {x + 6:.1f},{middle:.1f} {x:.1f},{top + BAR + 3:.1f} "
    parts.append(
        tag(
            "polygon",
            points=f"{corners}{x - 6:.1f},{middle:.1f}",
            class_="diamond hot",
            data_run=run.name,
            data_tip=said,
        )
    )
    parts.append(text(width - 4, middle + 4, percent(total), "end number"))
    return parts
