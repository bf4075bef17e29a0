"""The components of the error as signed stacks: means by year, and of the best models."""

from __future__ import annotations

from dataclasses import dataclass

from jessl.report.charts.svg import Axis, Markup, fit, line, picture, tag, text, tick_labels
from jessl.report.formatting import finite, plain
from jessl.zoo.page.labels import (
    COMPONENTS,
    LONG,
    Row,
    amount,
    colour,
    in_words,
    legend,
    rows_of,
)

STEP, BAR, HEAD, FOOT = 34.0, 20.0, 32.0, 44.0


@dataclass(frozen=True)
class Stack:
    """A row: its label, a small remark, components in percent, and the error itself if known."""

    label: str
    note: str
    parts: dict[str, float]
    error: float | None = None
    run: str | None = None

    def ends(self) -> tuple[float, float]:
        """How far it reaches to the left and to the right of zero."""
        values = self.parts.values()
        return sum(v for v in values if v < 0), sum(v for v in values if v > 0)


def stacks(answer: Row) -> list[tuple[str, list[Stack]]]:
    """Headings with their rows: means over models, and the best model of each setting."""
    means = []
    spread = {str(r.get("of")): r for r in rows_of(answer, "components", "spread")}
    parts = {c: v for c in COMPONENTS if (v := finite(spread.get(c, {}).get("mean"))) is not None}
    if parts:
        full = spread.get("full", {})
        most = max((spread[c].get("n") or 0) for c in parts)
        note = amount(most, "model")
        means.append(Stack("all models", note, parts, finite(full.get("mean"))))
    for row in rows_of(answer, "components", "by_year"):
        parts = _parts(row)
        if parts:
            note = amount(row.get("models"), "model")
            means.append(Stack(str(row.get("year")), note, parts, finite(row.get("full"))))
    best = []
    for row in rows_of(answer, "ranking", "best_explained"):
        parts, setting, name = _parts(row), str(row.get("setting")), str(row.get("model"))
        if parts:
            error = finite(row.get("error")) if setting == "full" else None
            best.append(Stack(in_words(setting), name, parts, error, name))
    found = (("Means over models", means), ("The best model of each setting", best))
    return [(head, rows) for head, rows in found if rows]


def shown(answer: Row) -> list[str]:
    """The components that are drawn."""
    known = {c for _, rows in stacks(answer) for row in rows for c in row.parts}
    return [c for c in COMPONENTS if c in known]


def stack_legend(answer: Row) -> Markup:
    """Colours of the components that are drawn."""
    return legend([(f"dot square {colour(c)}", LONG[c]) for c in shown(answer)])


def draw(answer: Row, *, roomy: bool) -> Markup | None:
    """The stacks, 880 px wide or 372 px; None without components."""
    groups = stacks(answer)
    if not groups:
        return None
    width, left, end = (880.0, 300.0, 48.0) if roomy else (372.0, 122.0, 40.0)
    every = [row for _, rows in groups for row in rows]
    reach = [v for row in every for v in row.ends()]
    reach += [row.error for row in every if row.error is not None]
    axis = Axis.over([0.0, *reach], left, width - end - 8, pad=0.01)
    parts: list[Markup] = []
    y = 0.0
    for head, rows in groups:
        parts.append(text(0, y + 20, head, "strong"))
        y += HEAD
        for row in rows:
            parts.append(_row(row, axis, y, width, roomy))
            y += STEP
        y += 8
    grid = []
    ticks = axis.ticks(7 if roomy else 4)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        grid.append(line(axis(tick), HEAD - 4, axis(tick), y, "rule"))
        grid.append(text(axis(tick), y + 16, label, "mid tick"))
    grid.append(text((axis.start + axis.end) / 2, y + 36, "error, percentage points", "mid axis"))
    zero = line(axis(0), HEAD - 4, axis(0), y, "zero")
    names = ", ".join(row.label for row in every)
    return picture(width, y + FOOT, f"Components of the error: {names}", *grid, *parts, zero)


def _parts(row: Row) -> dict[str, float]:
    return {c: v for c in COMPONENTS if (v := finite(row.get(c))) is not None}


def _row(row: Stack, axis: Axis, y: float, width: float, roomy: bool) -> Markup:
    top = y + (STEP - BAR) / 2
    middle = y + STEP / 2
    if roomy:
        parts = [
            text(0, middle + 4, fit(row.label, 150), "number"),
            text(146, middle + 4, fit(row.note, 180), "small"),
        ]
    else:
        parts = [
            text(0, middle - 1, fit(row.label, 118), "number"),
            text(0, middle + 11, fit(row.note, 140), "small"),
        ]
    up = down = 0.0
    for name, value in row.parts.items():
        base = up if value >= 0 else down
        if value >= 0:
            up += value
        else:
            down += value
        ends = sorted((axis(base), axis(base + value)))
        parts.append(
            tag(
                "rect",
                x=ends[0],
                y=top,
                width=max(ends[1] - ends[0], 0.5),
                height=BAR,
                class_=f"{colour(name)} fill part hot",
                data_run=row.run,
                data_tip=f"{row.label} ({row.note}): {LONG[name]} {plain(value)}",
            )
        )
    total = sum(row.parts.values())
    if row.error is not None:
        parts.append(_diamond(axis(row.error), middle, row))
    parts.append(text(width, middle + 4, f"{total:.1f}".replace("-", "−"), "end number"))
    return tag("g", *parts)


def _diamond(x: float, y: float, row: Stack) -> Markup:
    corners = f"{x:.1f},{y - 13:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 13:.1f} {x - 6:.1f},{y:.1f}"
    tip = f"{row.label} ({row.note}): error with all labels {plain(row.error)}"
    return tag("polygon", points=corners, class_="diamond hot", data_run=row.run, data_tip=tip)
