"""Each column of a comparison as dots with intervals, on an axis of its own."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from jessl.comparison.page.answer import (
    ERROR,
    RULES,
    ComparisonData,
    EncoderData,
    Measurement,
    ScoreMeasurement,
    title_of,
)
from jessl.report.charts.dots import Dot, DotRow, dot_panel
from jessl.report.formatting import format_fixed, format_interval, format_number


def score_panels(comparison: ComparisonData) -> list[Markup | None]:
    """A panel a score, its encoders in the order of its rule."""
    panels = []
    for column in comparison.columns:
        rows = [_score_row(e, e.scores[column]) for e in comparison.ordered(column)]
        panels.append(dot_panel(title_of(column), RULES[column][0], _known(rows)))
    return panels


def error_panels(comparison: ComparisonData) -> list[Markup | None]:
    """The error, the paired differences to the least one, and errors with few labels, percent."""
    encoders = comparison.ordered(ERROR)
    if not encoders:
        return []
    errors = [_percent_row(e, e.error, " %") for e in encoders]
    differences = [_percent_row(e, e.to_best, " points") for e in encoders]
    panels = [
        dot_panel("Error, all labels to fit on", "%, lower first", _known(errors)),
        dot_panel("More error than the least", "points, paired", _known(differences), zero=True),
    ]
    for shots in sorted({shots for encoder in encoders for shots in encoder.few_shot}):
        few = [(e, e.few_shot.get(shots, Measurement())) for e in encoders]
        few.sort(key=lambda pair: pair[1].value or 0.0)
        rows = _known([_percent_row(encoder, estimate, " %") for encoder, estimate in few])
        panels.append(dot_panel(f"Error, {shots} images of each class", "%, lower first", rows))
    return panels


def _known(rows: Sequence[DotRow | None]) -> list[DotRow]:
    return [row for row in rows if row is not None]


def _score_row(encoder: EncoderData, score: ScoreMeasurement) -> DotRow | None:
    if score.shown is None:
        return None
    number = format_number(score.shown)
    tip = f"{encoder.name}: {number}"
    if interval := format_interval(score.low, score.high):
        tip += f" (95 %: {interval})"
    if score.debiased is not None:
        tip += f", corrected for few images; published {format_number(score.value)}"
    tip += f"; n {format_number(score.n)}, d {format_number(score.d)}"
    tip += "".join(f". {warning}" for warning in score.warnings)
    sure = not score.has_few_rows and score.low is not None
    dot = Dot(score.shown, score.low, score.high, encoder.colour, tip, sure=sure, text=number)
    return DotRow(encoder.name, columns=[[dot]], run=encoder.name)


def _percent_row(encoder: EncoderData, estimate: Measurement, unit: str) -> DotRow | None:
    """A fraction, in percent or points."""
    value, low, high = (
        None if v is None else 100 * v for v in (estimate.value, estimate.low, estimate.high)
    )
    if value is None:
        return None
    number = format_fixed(value)
    tip = f"{encoder.name}: {number}{unit}"
    if interval := format_interval(low, high, format_fixed):
        tip += f" (95 %: {interval})"
    dot = Dot(value, low, high, encoder.colour, tip, sure=low is not None, text=number)
    return DotRow(encoder.name, columns=[[dot]], run=encoder.name)
