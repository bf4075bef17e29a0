"""The components of the error as signed stacks: means by year, and of the best models."""

from __future__ import annotations

from markupsafe import Markup

from jessl.report.charts.stacks import Part, Stack, StackGroup, Total, stacked_bars
from jessl.report.charts.svg import Size
from jessl.report.formatting import count, finite, format_fixed, format_number
from jessl.report.json_values import number, word
from jessl.report.pages.content import LegendItem
from jessl.zoo.page.answer import Row, known, rows_of
from jessl.zoo.page.labels import COMPONENTS, LONG, colour, in_words

_MOST_YEAR_MODELS = 5  # a year with fewer models has no trend


def draw_components(answer: Row, size: Size) -> Markup | None:
    """The stacks; None without components."""
    groups = _groups(answer)
    names = ", ".join(row.label for group in groups for row in group.stacks)
    description = f"Components of the error: {names}"
    return stacked_bars(groups, "error, percentage points", description, size)


def drawn_components(answer: Row) -> list[str]:
    """The components that are drawn."""
    colours = {part.class_ for g in _groups(answer) for row in g.stacks for part in row.parts}
    return [c for c in COMPONENTS if colour(c) in colours]


def component_legend(answer: Row) -> list[LegendItem]:
    """Colours of the components that are drawn."""
    return [LegendItem(LONG[c], class_=f"dot square {colour(c)}") for c in drawn_components(answer)]


def trend_sentences(answer: Row) -> list[str]:
    """Which component changed most between the first and the last year of five models or more."""
    rows = [
        row
        for row, models in known(rows_of(answer, "components", "by_year"), "models")
        if models >= _MOST_YEAR_MODELS
    ]
    if len(rows) < 2:
        return []
    first, last = _parts(rows[0]), _parts(rows[-1])
    both = [c for c in COMPONENTS if c in first and c in last]
    if not both:
        return []
    both.sort(key=lambda c: -abs(last[c] - first[c]))
    moved = " and ".join(
        f"{LONG[c]} from {format_fixed(first[c])} to {format_fixed(last[c])} points"
        for c in both[:2]
    )
    years = word(rows[0], "year"), word(rows[-1], "year")
    text = f"From {years[0]} to {years[1]} the mean components of the error changed: {moved}"
    largest = max(both, key=lambda c: last[c])
    if len(both) > 1:
        text += f"; in {years[1]} {LONG[largest]} is the largest component"
    return [f"{text}."]


def _groups(answer: Row) -> list[StackGroup]:
    """Means over models, and the best model of each setting."""
    means, best = _overall(answer), []
    for row in rows_of(answer, "components", "by_year"):
        models = count(row.get("models"), "model")
        means.append(_stack(word(row, "year"), models, _parts(row), number(row, "full")))
    for row in rows_of(answer, "ranking", "best_explained"):
        setting, name = word(row, "setting"), word(row, "model")
        error = number(row, "error") if setting == "full" else None
        best.append(_stack(in_words(setting), name, _parts(row), error, name))
    groups = (("Means over models", means), ("The best model of each setting", best))
    drawn = [(head, [row for row in rows if row is not None]) for head, rows in groups]
    return [StackGroup(head, rows) for head, rows in drawn if rows]


def _overall(answer: Row) -> list[Stack | None]:
    rows = {word(row, "of"): row for row in rows_of(answer, "components", "spread")}
    parts = {c: v for c in COMPONENTS if c in rows and (v := number(rows[c], "mean")) is not None}
    models = max((int(number(rows[c], "n") or 0) for c in parts), default=0)
    error = number(rows.get("full", {}), "mean")
    return [_stack("all models", count(models, "model"), parts, error)]


def _parts(row: Row) -> dict[str, float]:
    return {c: v for c in COMPONENTS if (v := finite(row.get(c))) is not None}


def _stack(
    label: str, note: str, parts: dict[str, float], error: float | None, run: str | None = None
) -> Stack | None:
    """A row in percent; None without components."""
    if not parts:
        return None
    where = f"{label} ({note})"
    drawn = [
        Part(value, colour(name), f"{where}: {LONG[name]} {format_number(value)}")
        for name, value in parts.items()
    ]
    total = None
    if error is not None:
        total = Total(error, f"{where}: error with all labels {format_number(error)}")
    return Stack(label, drawn, format_fixed(sum(parts.values())), total, note, run)
