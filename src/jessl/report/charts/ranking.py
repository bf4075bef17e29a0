"""The ranking of configurations: RankMe with its bars and, where labels exist, accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from jessl.report.charts.svg import (
    Axis,
    Markup,
    fit,
    fits,
    line,
    mark,
    picture,
    tag,
    text,
    tick_labels,
)
from jessl.report.formatting import finite, percent, plain, with_spread
from jessl.report.model import GroupData, ReportData, RunData, SettingData, shown

ROW = 28.0
# how far the rings of seeds stand above or below their mean, px
SIDE = 8.6
HEAD = 40.0
FOOT = 44.0


@dataclass(frozen=True)
class _Columns:
    """Where the parts of a row lie, px."""

    width: float
    label: float
    rank: tuple[float, float]
    rank_number: float
    accuracy: tuple[float, float]
    accuracy_number: float
    roomy: bool


_WIDE = _Columns(880, 12, (240, 426), 514, (566, 770), 868, True)
_SLIM = _Columns(372, 6, (74, 168), 208, (226, 304), 368, False)


def draw(report: ReportData, *, roomy: bool) -> Markup | None:
    """The ranking, 880 px wide or 372 px; None when no configuration has a RankMe."""
    columns = _WIDE if roomy else _SLIM
    groups = [(group, _sorted(group)) for group in report.groups]
    groups = [(group, configs) for group, configs in groups if configs]
    if not groups:
        return None
    every = [config for _, configs in groups for config in configs]
    rank_axis = Axis.over(
        [v for c in every for v in _reach(c, report.criterion, "pretrain", c.rank, c.rank_sd)],
        *columns.rank,
    )
    name = report.accuracy
    known = [v for c in every if name for v in _reach(c, name, "test", c.accuracy, c.accuracy_sd)]
    accuracy_axis = Axis.over(known, *columns.accuracy) if known else None
    parts: list[Markup] = []
    y = 8.0
    for index, (group, configs) in enumerate(groups):
        # where a row has no room for the parameter's name, the heading names it for all
        named = roomy and all(
            fits(f"{group.parameter} {shown(c.value)}", columns.rank[0] - 100) for c in configs
        )
        head = f"{group.method} {'' if named else group.parameter}".strip()
        parts.append(text(columns.label, y + 22, fit(head, 340), f"strong m{index % 8} ink"))
        y += HEAD - 8
        best = max((c.accuracy for c in configs if c.accuracy is not None), default=None)
        for config in configs:
            parts.append(
                _row(
                    report,
                    group,
                    config,
                    _label(group, config, named),
                    index,
                    y,
                    columns,
                    rank_axis,
                    accuracy_axis,
                    best,
                )
            )
            y += ROW
        y += 10
    height = y + FOOT
    grid = _grid(rank_axis, y, columns.rank, axis_title(report.criterion, short=not roomy), False)
    if accuracy_axis is not None:
        grid += _grid(accuracy_axis, y, columns.accuracy, "accuracy, %", True)
    says = f"Ranking of {len(every)} configurations by {axis_title(report.criterion)}"
    return picture(columns.width, height, says, *grid, *parts)


def axis_title(criterion: str, *, short: bool = False) -> str:
    """A criterion in words: rankme/projector as RankMe at the projector output."""
    name, _, layer = criterion.partition("/")
    name = "RankMe" if name == "rankme" else name
    return name if short or not layer else f"{name} at the {layer} output"


def _sorted(group: GroupData) -> list[SettingData]:
    return sorted((c for c in group.configs if c.rank is not None), key=lambda c: -(c.rank or 0.0))


def _label(group: GroupData, config: SettingData, named: bool) -> str:
    """The row's label: the setting, or the run's name where the group has no hyperparameter."""
    if not group.parameter and config.runs:
        return config.runs[0].name
    return f"{group.parameter if named else ''} {shown(config.value)}".strip()


def _reach(
    config: SettingData, name: str, split: str, middle: float | None, sd: float | None
) -> list[float]:
    """All numbers that a row draws in one column."""
    found = [v for v in (run.number(name, split) for run in config.runs) if v is not None]
    if middle is not None:
        low, high = _bar(config, name, split, middle, sd)
        found += [middle, low, high]
    return found


def _bar(
    config: SettingData, name: str, split: str, middle: float, sd: float | None
) -> tuple[float, float]:
    """Seeds give mean -+ sd; a single run gives the interval of its own measurement."""
    if sd is not None:
        return middle - sd, middle + sd
    records = [r for r in (run.last(name, split) for run in config.runs) if r is not None]
    low, high = (finite(records[-1].low), finite(records[-1].high)) if records else (None, None)
    return (middle if low is None else low), (middle if high is None else high)


def _row(
    report: ReportData,
    group: GroupData,
    config: SettingData,
    label: str,
    index: int,
    y: float,
    columns: _Columns,
    rank_axis: Axis,
    accuracy_axis: Axis | None,
    best: float | None,
) -> Markup:
    middle = y + ROW / 2
    chosen = group.is_chosen(config.value)
    picked = group.chosen_run.name if group.chosen_run is not None else None
    parts: list[Markup] = []
    if chosen:
        parts.append(
            tag("rect", x=0, y=y + 1, width=columns.width, height=ROW - 2, rx=6, class_="band")
        )
    note = "  ✓ chosen" if columns.roomy else " ✓"
    if columns.roomy and not fits(label + note, columns.rank[0] - columns.label - 12):
        note = " ✓"
    note = note if chosen else ""
    parts.append(
        text(
            columns.label,
            middle + 4,
            fit(label, columns.rank[0] - columns.label - 8 - 7 * len(note)) + note,
            "strong" if chosen else "",
        )
    )
    parts += _dots(
        config,
        report.criterion,
        "pretrain",
        config.rank,
        config.rank_sd,
        rank_axis,
        middle,
        index,
        percents=False,
        picked=picked,
    )
    number = with_spread(config.rank, config.rank_sd if columns.roomy else None)
    parts.append(text(columns.rank_number, middle + 4, number, "end number"))
    if accuracy_axis is not None and report.accuracy and config.accuracy is not None:
        parts += _dots(
            config,
            report.accuracy,
            "test",
            config.accuracy,
            config.accuracy_sd,
            accuracy_axis,
            middle,
            index,
            percents=True,
            picked=picked,
        )
        top = best is not None and config.accuracy == best
        said = percent(config.accuracy) if columns.roomy else f"{100 * config.accuracy:.1f}"
        parts.append(
            text(
                columns.accuracy_number,
                middle + 4,
                ("★ " if top else "") + said,
                "end number" + (" strong" if top else ""),
            )
        )
    return tag("g", *parts)


def _dots(
    config: SettingData,
    name: str,
    split: str,
    middle: float | None,
    sd: float | None,
    axis: Axis,
    y: float,
    index: int,
    *,
    percents: bool,
    picked: str | None,
) -> list[Markup]:
    """Small rings for the runs, a bar, and a large dot for the configuration."""
    if middle is None:
        return []
    low, high = _bar(config, name, split, middle, sd)
    colour = f"m{index % 8}"
    parts = [line(axis(low), y, axis(high), y, f"bar {colour} edge")]
    for place, run in enumerate(config.runs):
        value = run.number(name, split)
        if value is not None and len(config.runs) > 1:
            # above and below the large dot in turn, so that seeds that agree stay visible
            parts.append(
                mark(
                    0,
                    axis(value),
                    y + (SIDE if place % 2 else -SIDE),
                    2.6,
                    class_=f"{colour} ring hot" + (" picked" if run.name == picked else ""),
                    data_run=run.name,
                    data_tip=run_tip(run, name, split, percents=percents),
                )
            )
    only = config.runs[0] if len(config.runs) == 1 else None
    write = percent if percents else plain
    parts.append(
        mark(
            0,
            axis(middle),
            y,
            5,
            class_=f"{colour} fill hot",
            data_run=only.name if only else None,
            data_tip=f"{write(middle)}, bar {write(low)} to {write(high)}",
        )
    )
    return parts


def run_tip(run: RunData, name: str, split: str, *, percents: bool) -> str:
    """What the pointer reads at a run's dot."""
    record = run.last(name, split)
    write = percent if percents else plain
    if record is None:
        return run.name
    said = f"{run.name}: {name} {write(finite(record.value))}"
    low, high = finite(record.low), finite(record.high)
    return said if low is None or high is None else f"{said} ({write(low)} to {write(high)})"


def _grid(
    axis: Axis, bottom: float, place: tuple[float, float], title: str, percents: bool
) -> list[Markup]:
    ticks = axis.ticks(4 if place[1] - place[0] > 150 else 2)
    labels = tick_labels([100 * t for t in ticks] if percents else ticks)
    parts = [line(axis(t), 40, axis(t), bottom, "rule") for t in ticks]
    parts += [
        text(axis(t), bottom + 16, label, "mid tick")
        for t, label in zip(ticks, labels, strict=True)
    ]
    parts.append(text(sum(place) / 2, bottom + 36, title, "mid axis"))
    return parts
