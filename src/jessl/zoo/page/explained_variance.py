"""What design choices predict of unseen models: trees' SHAP values, and R2 by what was left out."""

from __future__ import annotations

from markupsafe import Markup

from jessl.report.charts.bars import Bar, BarRow, bar_panel
from jessl.report.formatting import format_fixed, format_number
from jessl.report.json_values import number, word
from jessl.report.pages.content import LegendItem
from jessl.zoo.page.answer import Row, distinct, known, rows_of
from jessl.zoo.page.labels import (
    COMPONENTS,
    LONG,
    colour,
    in_words,
    scale_colour,
    scale_legend,
)

MOST = 8  # choices of an outcome
LOWEST = -1.0
_MODELS = {"trees": "boosted trees", "linear": "linear model"}
_STRICT = ("objective", "year")  # splits that leave out a whole kind


def shap_panels(answer: Row) -> list[Markup | None]:
    """A panel a component (without any: a panel an error), the choices of most weight."""
    rows = [pair for pair in known(rows_of(answer, "trees", "shap"), "mean_abs_shap") if pair[1]]
    outcomes = distinct([row for row, _ in rows], "outcome")
    panels = []
    for outcome in [o for o in outcomes if o in COMPONENTS] or outcomes:
        mine = [(row, value) for row, value in rows if word(row, "outcome") == outcome]
        mine.sort(key=lambda pair: -pair[1])
        bars = [
            BarRow(word(row, "choice"), [_shap_bar(row, value, outcome)])
            for row, value in mine[:MOST]
        ]
        title = LONG.get(outcome, in_words(outcome))
        panels.append(bar_panel(title, bars, "mean |SHAP|, points of error"))
    return panels


def validation_panels(answer: Row) -> list[Markup | None]:
    """A panel a kind of model: for every outcome a bar a split."""
    rows, order = rows_of(answer, "validation", "r2"), _splits(answer)
    panels = []
    for model in distinct(rows, "model"):
        mine = [row for row in rows if word(row, "model") == model]
        groups = []
        for outcome in distinct(mine, "outcome"):
            values = known([r for r in mine if word(r, "outcome") == outcome], "r2")
            bars = [_r2_bar(row, value, order) for row, value in values]
            groups.append(BarRow(in_words(outcome), bars))
        panels.append(bar_panel(_MODELS.get(model, model), groups, "R²", lowest=LOWEST))
    return panels


def validation_legend(answer: Row) -> list[LegendItem]:
    """Colours of the splits."""
    return scale_legend(_splits(answer), "dot square")


def validation_sentences(answer: Row) -> list[str]:
    """How much of the components trees predict, leniently and of an unseen kind of model."""
    by_outcome: dict[str, dict[str, float]] = {}
    for row, value in known(rows_of(answer, "validation", "r2"), "r2"):
        if row.get("model") == "trees" and row.get("outcome") in COMPONENTS:
            by_outcome.setdefault(word(row, "outcome"), {})[word(row, "split")] = value
    parts = []
    for outcome, values in by_outcome.items():
        strict = [split for split in _STRICT if split in values]
        if "random" not in values or not strict:
            continue
        worst = min(strict, key=lambda split: values[split])
        parts.append(
            f"{LONG[outcome]} {format_fixed(values['random'], 2)} on random folds, "
            f"{format_fixed(values[worst], 2)} on an unseen {worst}"
        )
    if not parts:
        return []
    return ["How well design choices predict a new model, R² of trees: " + "; ".join(parts) + "."]


def _splits(answer: Row) -> list[str]:
    """The ways to leave models out, the mildest first."""
    return distinct(rows_of(answer, "validation", "r2"), "split")


def _shap_bar(row: Row, value: float, outcome: str) -> Bar:
    tip = f"{word(row, 'choice')} on {in_words(outcome)}: {format_number(value)} points"
    if (share := number(row, "share")) is not None:
        tip += f", {100 * share:.0f} % of all choices"
    return Bar(value, colour(outcome), format_number(value, 2), tip)


def _r2_bar(row: Row, value: float, order: list[str]) -> Bar:
    split = word(row, "split")
    tip = (
        f"{in_words(word(row, 'outcome'))}, {word(row, 'model')}, {split}: "
        f"R² {format_number(value, 2)}, rmse {format_number(number(row, 'rmse'))} points, "
        f"{row.get('n')} models"
    )
    return Bar(value, scale_colour(order.index(split), len(order)), format_fixed(value, 2), tip)
