"""The tables of a comparison: all encoders with every number, and the components of the error."""

from __future__ import annotations

from jessl.comparison.page.answer import (
    RISK_PARTS,
    SIZES,
    ComparisonData,
    EncoderData,
    Measurement,
    ScoreMeasurement,
    title_of,
)
from jessl.report.formatting import (
    format_fixed,
    format_interval,
    format_number,
    format_percent,
)
from jessl.report.pages.content import Block, Cell, Named, Notes, Table, TableColumn, TableRow
from jessl.schema import capitalized, component_title

_SIZE_TITLES = {
    "d": "Features d",
    "input_px": "Input, px",
    "parameters": "Parameters, million",
    "weights_mb": "Weights, MB",
    "feature_mb_per_1000": "Features, MB per 1,000 images",
}


def encoder_table(comparison: ComparisonData) -> Table:
    """All encoders; columns without any number are left out."""
    scores = comparison.columns
    labelled = any(encoder.is_labelled for encoder in comparison.measured)
    titles = ["Error", "More than the least"] if labelled else []
    shots = sorted({k for encoder in comparison.measured for k in encoder.few_shot})
    titles += [f"Error, {k} a class" for k in shots]
    titles += [title_of(column) for column in scores]
    titles += ["Milliseconds an image", *(_SIZE_TITLES[key] for key in SIZES)]
    columns = [TableColumn("Encoder", is_text=True), *(TableColumn(title) for title in titles)]
    rows = [_row(e, scores, shots, labelled=labelled) for e in comparison.encoders]
    return Table(columns, rows)


def failures(comparison: ComparisonData) -> list[Block]:
    """The encoders without numbers, and why."""
    items = [
        Named(f" failed: {encoder.failed}", encoder.name)
        for encoder in comparison.encoders
        if encoder.failed is not None
    ]
    return [Notes(items)] if items else []


def component_table(comparison: ComparisonData) -> Table | None:
    """Where the error of each encoder comes from; None without a decomposition."""
    rows = []
    for encoder in comparison.measured:
        if encoder.risk is not None:
            cells = [_percent(encoder.risk[part]) for part in RISK_PARTS]
            rows.append(TableRow([Cell(encoder.name, encoder.name), *cells], run=encoder.name))
    columns = [
        TableColumn("Encoder", is_text=True),
        *(TableColumn(_risk_title(part)) for part in RISK_PARTS),
    ]
    return Table(columns, rows) if rows else None


def _risk_title(part: str) -> str:
    return "Error" if part == "risk" else capitalized(component_title(part, merged=True))


def _row(encoder: EncoderData, scores: list[str], shots: list[int], *, labelled: bool) -> TableRow:
    about = "failed, see below" if encoder.failed is not None else _origin(encoder)
    cells = [Cell(encoder.name, encoder.name, [about] if about else [], encoder.spec)]
    if labelled:
        cells += [_percent(encoder.error), _difference(encoder.to_best)]
    cells += [_percent(encoder.few_shot.get(k, Measurement())) for k in shots]
    for column in scores:
        score = encoder.scores.get(column, ScoreMeasurement())
        few = "n < 4 d" if score.has_few_rows else ""
        interval = format_interval(score.low, score.high)
        published = "" if score.debiased is None else f"published {format_number(score.value)}"
        cells.append(_cell(format_number(score.shown), score.shown, interval, published, few))
    time = encoder.cost.time
    below = format_interval(time.low, time.high) if encoder.cost.warm else "first batch only"
    cells.append(_cell(format_number(time.value), time.value, below))
    for key in SIZES:
        value = encoder.sizes.get(key)
        cells.append(_cell(_size(key, value), value))
    return TableRow(cells, run=encoder.name)


def _size(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    if key == "parameters":
        return format_number(value / 1e6)
    return f"{value:,.0f}" if key in ("d", "input_px") else format_number(value)


def _percent(estimate: Measurement) -> Cell:
    return _cell(format_percent(estimate.value), estimate.value, _percents(estimate))


def _difference(estimate: Measurement) -> Cell:
    """Error above the least; that of the least itself is exactly zero."""
    if (estimate.value, estimate.low, estimate.high) == (0, 0, 0):
        return _cell("least", 0.0)
    text = format_percent(estimate.value).replace(" %", " points")
    return _cell(text, estimate.value, _percents(estimate))


def _percents(estimate: Measurement) -> str:
    """The interval in percent, without the sign."""
    return format_interval(estimate.low, estimate.high, lambda v: format_fixed(100 * v))


def _origin(encoder: EncoderData) -> str:
    """The method and the source of the weights, or the spec where these are not informative."""
    source = encoder.spec if encoder.weights in ("", "published") else encoder.weights
    parts = (encoder.method, source if source != encoder.name else "")
    return ", ".join(part for part in parts if part)


def _cell(text: str, value: float | None, *notes: str) -> Cell:
    sort = "" if value is None else f"{value:.8g}"
    return Cell(text, sort, [note for note in notes if note])
