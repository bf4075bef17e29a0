"""Each column of a comparison of encoders as dots with intervals, on an axis of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jessl.comparison.page.labels import (
    ERROR,
    SCORES,
    Row,
    colour,
    columns_of,
    doubts_of,
    few_rows,
    good_of,
    ordered,
    percents,
    score_of,
    span,
    tenths,
)
from jessl.report.charts.svg import (
    Axis,
    Markup,
    fit,
    line,
    mark,
    picture,
    tag,
    text,
    tick_labels,
)
from jessl.report.formatting import finite, plain

WIDTH, LABEL, NUMBER = 420.0, 160.0, 50.0
STEP, HEAD, FOOT = 25.0, 46.0, 26.0


@dataclass(frozen=True)
class ScoreDot:
    """A number of an encoder; a ring where it is doubtful."""

    name: str
    value: float
    low: float | None
    high: float | None
    class_: str
    sure: bool
    tip: str
    said: str


def scores(answer: Row) -> list[Markup | None]:
    """A panel a score, its encoders in the order of its rule."""
    found = []
    for column in columns_of(answer):
        title, rule, _ = SCORES[column]
        dots = [_score_dot(answer, row, column) for row in ordered(answer, column)]
        found.append(panel(title, rule, dots))
    return found


def errors(answer: Row) -> list[Markup | None]:
    """The error, the paired differences to the least one, and errors with few labels, percent."""
    rows = ordered(answer, ERROR)
    if not rows:
        return []
    full, apart = [], []
    for row in rows:
        full.append(_dot(answer, row, *score_of(row, ERROR), unit=" %"))
        held = row.get("to_best") or {}
        parts = [finite(held.get(key)) for key in ("value", "low", "high")]
        if parts[0] is not None:
            apart.append(_dot(answer, row, parts[0], parts[1], parts[2], unit=" points"))
    found = [
        panel("Error, all labels to fit on", "%, lower first", _known(full)),
        panel("More error than the least", "points, paired", _known(apart), zero=True),
    ]
    for shots in _shots(rows):
        dots = []
        for row in rows:
            few = next((f for f in _few(row) if f.get("shots") == shots), {})
            value, low, high = (finite(few.get(key)) for key in ("value", "low", "high"))
            dots.append(_dot(answer, row, value, low, high, unit=" %"))
        known = sorted(_known(dots), key=lambda dot: dot.value)
        found.append(panel(f"Error, {shots} images of each class", "%, lower first", known))
    return found


def panel(title: str, rule: str, dots: Sequence[ScoreDot], *, zero: bool = False) -> Markup | None:
    """A drawing of 420 px: a row a dot, from the first on top; None without a dot.

    Args:
        title: what it shows.
        rule: the unit, or what stands first.
        dots: in order.
        zero: whether the axis holds 0, drawn as a line.
    """
    if not dots:
        return None
    reach = [v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None]
    axis = Axis.over([*reach, 0.0] if zero else reach, LABEL + 8, WIDTH - NUMBER - 8)
    bottom = HEAD + STEP * len(dots)
    ticks = axis.ticks(4)
    parts = [text(0, 14, title, "strong"), text(0, 31, rule, "small")]
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts.append(line(axis(tick), HEAD - 6, axis(tick), bottom, "rule"))
        parts.append(text(axis(tick), bottom + 16, label, "mid tick"))
    if zero:
        parts.append(line(axis(0), HEAD - 6, axis(0), bottom, "zero"))
    for place, dot in enumerate(dots):
        parts.append(_drawn(dot, axis, HEAD + STEP * (place + 0.5)))
    says = f"{title}: " + ", ".join(f"{dot.name} {dot.said}" for dot in dots)
    return tag("div", picture(WIDTH, bottom + FOOT, says, *parts), class_="panel")


def _drawn(dot: ScoreDot, axis: Axis, y: float) -> Markup:
    parts = [text(0, y + 4, fit(dot.name, LABEL), "number")]
    if dot.low is not None and dot.high is not None:
        parts.append(line(axis(dot.low), y, axis(dot.high), y, f"bar {dot.class_} edge"))
    shape = f"{dot.class_} {'fill' if dot.sure else 'ring'}"
    parts.append(mark(0, axis(dot.value), y, 5.0, class_=shape))
    parts.append(text(WIDTH, y + 4, dot.said, "number end"))
    return tag("g", *parts, class_="hot", data_run=dot.name, data_tip=dot.tip)


def _score_dot(answer: Row, row: Row, column: str) -> ScoreDot:
    name = str(row.get("name"))
    value, low, high = score_of(row, column)
    assert value is not None
    held = (row.get("scores") or {})[column]
    said = f"{name}: {plain(value)}"
    if (between := span(low, high)) is not None:
        corrected = finite(held.get("debiased"))
        of = "" if corrected is None else f" of {plain(corrected)}, corrected for few images"
        said += f" (95 %: {between}{of})"
    said += f"; n {plain(finite(held.get('n')))}, d {plain(finite(held.get('d')))}"
    doubts = doubts_of(row, column)
    said += "".join(f". {doubt}" for doubt in doubts)
    sure = not few_rows(row, column) and low is not None
    return ScoreDot(name, value, low, high, colour(answer, name), sure, said, plain(value))


def _dot(
    answer: Row,
    row: Row,
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    unit: str,
) -> ScoreDot | None:
    if value is None:
        return None
    name = str(row.get("name"))
    lower, upper = (None if v is None else 100 * v for v in (low, high))
    between, shown = percents(low, high), tenths(100 * value)
    said = f"{name}: {shown}{unit}" + ("" if between is None else f" (95 %: {between})")
    sure = lower is not None
    return ScoreDot(name, 100 * value, lower, upper, colour(answer, name), sure, said, shown)


def _known(dots: Sequence[ScoreDot | None]) -> list[ScoreDot]:
    return [dot for dot in dots if dot is not None]


def _few(row: Row) -> list[Row]:
    return list((row.get("labelled") or {}).get("few_shot") or [])


def _shots(rows: Sequence[Row]) -> list[int]:
    """Numbers of images of each class, ascending."""
    return sorted({int(f["shots"]) for row in rows for f in _few(row) if finite(f.get("shots"))})


def any_labels(answer: Row) -> bool:
    """Whether an encoder was judged with labels."""
    return any(row.get("labelled") for row in good_of(answer))
