"""Where the error of each run comes from: the components of its risk as stacked bars."""

from __future__ import annotations

from markupsafe import Markup

from jessl.records import Record
from jessl.report.charts.stacks import Part, Stack, StackGroup, Total, stacked_bars
from jessl.report.charts.svg import Size, fits
from jessl.report.formatting import finite, format_interval, format_percent
from jessl.report.model import GroupData, ReportData, RunData
from jessl.report.pages.content import LegendItem
from jessl.schema import COMPONENT_NAMES, MERGED_TITLE, component_title


def component_names(report: ReportData) -> dict[str, str]:
    """Component -> its name in words; without a supervised twin the first two are one."""
    names = {part: component_title(part) for part in COMPONENT_NAMES}
    merged = report.risk_merged()
    if merged == {True}:
        del names["approximation"]
        names["usability"] = MERGED_TITLE
    elif True in merged:
        names["usability"] = f"usability (without a supervised twin: {MERGED_TITLE})"
    return names


def draw_risk(report: ReportData, size: Size) -> Markup | None:
    """The bars; None when no run has a decomposition."""
    groups = []
    for index, group in enumerate(report.groups):
        runs = sorted((run for run in group.runs if run.has_risk), key=_total_or_last)
        if runs:
            groups.append(_group(report, group, runs, f"m{index % 8} ink", size))
    unit = "error, percentage points"
    return stacked_bars(groups, unit, "Components of the risk of every run", size)


def risk_legend(report: ReportData) -> list[LegendItem]:
    """Colours of the components and the shape of the total."""
    items = [
        LegendItem(name, class_=f"dot square {_colour(part)}")
        for part, name in component_names(report).items()
    ]
    return [*items, LegendItem("total risk", shape="◆")]


def _colour(part: str) -> str:
    return f"k{COMPONENT_NAMES.index(part)}"


def _total_or_last(run: RunData) -> float:
    total = run.number("risk/total", "test")
    return float("inf") if total is None else total


def _group(
    report: ReportData, group: GroupData, runs: list[RunData], class_: str, size: Size
) -> StackGroup:
    # where a row has no room for the parameter's name, the heading names it for all
    named = size.wide and all(fits(run.setting(), 182) for run in runs)
    heading = f"{group.method} {'' if named else group.parameter}".strip()
    return StackGroup(heading, [_stack(report, run, named) for run in runs], class_)


def _stack(report: ReportData, run: RunData, named: bool) -> Stack:
    parts = []
    for part in component_names(report):
        record = run.risk(part)
        # zero by convention is not a measurement
        if record is None or (part == "approximation" and run.risk_is_merged):
            continue
        value, low, high = _percents(record)
        tip = _tip(run, component_title(part, merged=run.risk_is_merged), record)
        parts.append(Part(value, _colour(part), tip, low, high))
    record = run.risk("total")
    label = run.setting(with_parameter=named or run.value is None)
    if record is None:
        return Stack(label, parts, "", run=run.name)
    value, low, high = _percents(record)
    total = Total(value, _tip(run, "total risk", record), low, high)
    return Stack(label, parts, format_percent(finite(record.value)), total, run=run.name)


def _percents(record: Record) -> tuple[float, float | None, float | None]:
    """Value, low and high in percent; both bounds or neither."""
    value, low, high = (finite(v) for v in (record.value, record.low, record.high))
    if low is None or high is None:
        return 100 * (value or 0.0), None, None
    return 100 * (value or 0.0), 100 * low, 100 * high


def _tip(run: RunData, name: str, record: Record) -> str:
    """What the pointer reads at a number."""
    interval = format_interval(finite(record.low), finite(record.high), format_percent)
    text = f"{run.name}: {name} {format_percent(finite(record.value))}"
    return f"{text} ({interval})" if interval else text
