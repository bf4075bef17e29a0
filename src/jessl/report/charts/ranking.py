"""The ranking of settings: the criterion with its bars and, where labels exist, accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from jessl.report.charts.axis import Axis, grid_below
from jessl.report.charts.svg import (
    Size,
    drawing,
    fits,
    line,
    mark,
    shorten,
    tag,
    text,
)
from jessl.report.criterion import (
    criterion_scale,
    criterion_title,
    criterion_unit,
    format_criterion,
)
from jessl.report.formatting import finite, format_interval, format_percent, format_value
from jessl.report.model import GroupData, ReportData, RunData, SettingData

ROW = 28.0
# how far the rings of seeds stand above or below their mean, px
SIDE = 8.6
HEAD = 40.0
FOOT = 44.0

# mean and standard deviation of a measured quantity over the seeds of a setting
Read = Callable[[SettingData], tuple[float | None, float | None]]


def draw_ranking(report: ReportData, size: Size) -> Markup | None:
    """The ranking; None when no setting has a value of the criterion."""
    groups = [
        (index, group, settings)
        for index, group in enumerate(report.groups)
        if (settings := _sorted(group))
    ]
    if not groups:
        return None
    count = sum(len(settings) for _, _, settings in groups)
    columns = _columns(report, [s for _, _, settings in groups for s in settings], size)
    parts: list[Markup] = []
    y = 8.0
    for index, group, settings in groups:
        rows = _GroupRows(group, settings, f"m{index % 8}", columns, size)
        parts.append(text(rows.left, y + 22, shorten(rows.heading, 340), f"strong {rows.ink} ink"))
        y += HEAD - 8
        for setting in settings:
            parts.append(rows.draw(setting, y))
            y += ROW
        y += 10
    grid: list[Markup] = []
    for column in columns:
        about = 4 if column.axis.end - column.axis.start > 150 else 2
        grid += grid_below(column.axis, 40, y, about=about, title=column.title)
    description = f"Ranking of {count} settings by {criterion_title(report.criterion)}"
    return drawing(size.width, y + FOOT, description, *grid, *parts)


def _sorted(group: GroupData) -> list[SettingData]:
    return sorted((c for c in group.configs if c.rank is not None), key=lambda c: -(c.rank or 0.0))


@dataclass(frozen=True)
class _Column:
    """A measured quantity: its record, how a setting holds it, its axis, its number, px."""

    name: str
    split: str
    title: str
    read: Read
    write: Callable[[float | None], str]
    axis: Axis
    number: float
    scale: float = 1.0

    def bar(self, setting: SettingData) -> tuple[float, float, float] | None:
        """Middle, low and high: seeds give mean -+ sd, a single run the interval of its record.

        The interval belongs to the value that is corrected for few rows, where there is one.
        """
        return _bar(setting, self.name, self.split, *self.read(setting))

    def place(self, value: float) -> float:
        """Where a value lies, px."""
        return self.axis(self.scale * value)


def _bar(
    setting: SettingData, name: str, split: str, middle: float | None, sd: float | None
) -> tuple[float, float, float] | None:
    if middle is None:
        return None
    if sd is not None:
        return middle, middle - sd, middle + sd
    records = [r for run in setting.runs if (r := run.last(name, split)) is not None]
    low, high = (finite(records[-1].low), finite(records[-1].high)) if records else (None, None)
    corrected = finite((records[-1].extra or {}).get("debiased")) if records else None
    middle = middle if corrected is None else corrected
    return middle, middle if low is None else low, middle if high is None else high


def _columns(report: ReportData, settings: list[SettingData], size: Size) -> list[_Column]:
    def rank(setting: SettingData) -> tuple[float | None, float | None]:
        return setting.rank, setting.rank_sd

    def accuracy(setting: SettingData) -> tuple[float | None, float | None]:
        return setting.accuracy, setting.accuracy_sd

    def reach(name: str, split: str, read: Read) -> list[float]:
        values = []
        for setting in settings:
            values += [v for run in setting.runs if (v := run.number(name, split)) is not None]
            values += _bar(setting, name, split, *read(setting)) or ()
        return values

    wide = size.wide
    name = report.accuracy
    values = reach(name, "test", accuracy) if name else []
    # 110 px and 50 px are the widest numbers, which stand between a bar and the end
    if values:
        ends = ((240, 400), 522, (574, 768), 868) if wide else ((74, 152), 206, (228, 298), 368)
    else:
        ends = ((240, 740), 868, (0, 0), 0) if wide else ((74, 300), 368, (0, 0), 0)
    by = report.criterion
    title = criterion_title(by, short=not wide) + criterion_unit(by)
    scale, write = criterion_scale(by), partial(format_criterion, by)
    axis = Axis.over([scale * v for v in reach(by, "pretrain", rank)], *ends[0])
    columns = [_Column(by, "pretrain", title, rank, write, axis, ends[1], scale)]
    if name and values:
        axis = Axis.over([100 * v for v in values], *ends[2])
        columns.append(
            _Column(name, "test", "accuracy, %", accuracy, format_percent, axis, ends[3], 100.0)
        )
    return columns


@dataclass(frozen=True)
class _GroupRows:
    """The rows of one group."""

    group: GroupData
    settings: list[SettingData]
    ink: str
    columns: list[_Column]
    size: Size

    @property
    def left(self) -> float:
        """Where labels begin, px."""
        return 12 if self.size.wide else 6

    @property
    def room(self) -> float:
        """For labels, px."""
        return self.columns[0].axis.start - self.left - 8

    @property
    def named(self) -> bool:
        """Whether every row names the parameter; where there is no room the heading does."""
        labels = (f"{self.group.parameter} {format_value(s.value)}" for s in self.settings)
        return self.size.wide and all(fits(label, self.room - 80) for label in labels)

    @property
    def heading(self) -> str:
        """The method, and the parameter where the rows do not name it."""
        return f"{self.group.method} {'' if self.named else self.group.parameter}".strip()

    def draw(self, setting: SettingData, y: float) -> Markup:
        """One row."""
        middle = y + ROW / 2
        chosen = self.group.is_chosen(setting.value)
        parts: list[Markup] = []
        if chosen:
            width = self.size.width
            parts.append(
                tag("rect", x=0, y=y + 1, width=width, height=ROW - 2, rx=6, class_="band")
            )
        label = self._label(setting)
        note = ""
        if chosen:
            note = "  ✓ chosen" if self.size.wide else " ✓"
            if not fits(label + note, self.room - 4):
                note = " ✓"
        label = shorten(label, self.room - 7 * len(note)) + note
        parts.append(text(self.left, middle + 4, label, "strong" if chosen else ""))
        best = max((s.accuracy for s in self.settings if s.accuracy is not None), default=None)
        for column in self.columns:
            parts += self._dots(setting, column, middle)
            parts.append(self._number(setting, column, best, middle))
        return tag("g", *parts)

    def _label(self, setting: SettingData) -> str:
        """The setting, or the run's name where the group has no hyperparameter."""
        if not self.group.parameter and setting.runs:
            return setting.runs[0].name
        value = format_value(setting.value)
        return f"{self.group.parameter if self.named else ''} {value}".strip()

    def _number(
        self, setting: SettingData, column: _Column, best: float | None, middle: float
    ) -> Markup:
        value, sd = column.read(setting)
        if column is self.columns[0]:
            bar = column.bar(setting)
            middle_value = value if bar is None else bar[0]
            number = format_criterion(column.name, middle_value, sd if self.size.wide else None)
            number = number if self.size.wide else number.removesuffix(" %")
            return text(column.number, middle + 4, number, "end number")
        if value is None:
            return Markup("")
        number = format_percent(value)
        number = number if self.size.wide else number.removesuffix(" %")
        star, strong = ("★ ", " strong") if value == best else ("", "")
        return text(column.number, middle + 4, star + number, "end number" + strong)

    def _dots(self, setting: SettingData, column: _Column, y: float) -> list[Markup]:
        """Small rings for the runs, a bar, and a large dot for the setting."""
        bar = column.bar(setting)
        if bar is None:
            return []
        middle, low, high = bar
        parts = [line(column.place(low), y, column.place(high), y, f"bar {self.ink} edge")]
        chosen = self.group.chosen_run
        for place, run in enumerate(setting.runs):
            value = run.number(column.name, column.split)
            if value is None or len(setting.runs) == 1:
                continue
            picked = chosen is not None and run.name == chosen.name
            # above and below the large dot in turn, so that seeds that agree stay visible
            parts.append(
                mark(
                    0,
                    column.place(value),
                    y + (SIDE if place % 2 else -SIDE),
                    2.6,
                    class_=f"{self.ink} ring hot" + (" picked" if picked else ""),
                    data_run=run.name,
                    data_tip=_tip(run, column),
                )
            )
        only = setting.runs[0].name if len(setting.runs) == 1 else None
        tip = f"{column.write(middle)}, bar {format_interval(low, high, column.write)}"
        place_px = column.place(middle)
        class_ = f"{self.ink} fill hot"
        parts.append(mark(0, place_px, y, 5, class_=class_, data_run=only, data_tip=tip))
        return parts


def _tip(run: RunData, column: _Column) -> str:
    """What the pointer reads at a run's ring."""
    record = run.last(column.name, column.split)
    if record is None:
        return run.name
    value = f"{run.name}: {column.title.removesuffix(', %')} {column.write(finite(record.value))}"
    interval = format_interval(finite(record.low), finite(record.high), column.write)
    return f"{value} ({interval})" if interval else value
