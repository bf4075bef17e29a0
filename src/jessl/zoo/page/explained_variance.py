"""What design choices tell of unseen models: trees' SHAP values, and R2 by what was left out."""

from __future__ import annotations

from jessl.report.charts.bars import Bar, BarRow, panel
from jessl.report.charts.svg import Markup
from jessl.report.formatting import finite, plain
from jessl.zoo.page.labels import (
    COMPONENTS,
    LONG,
    Row,
    along,
    colour,
    in_words,
    legend,
    rows_of,
)

MOST = 8  # choices of an outcome
LOWEST = -1.0
_MODELS = {"trees": "boosted trees", "linear": "linear model"}
_STRICT = ("objective", "year")  # splits that leave out a whole kind


def shap(answer: Row) -> list[Markup | None]:
    """A panel a component (without any: a panel an error), the choices told by most."""
    rows = [r for r in rows_of(answer, "trees", "shap") if finite(r.get("mean_abs_shap"))]
    every = list(dict.fromkeys(str(row.get("outcome")) for row in rows))
    shown = [o for o in every if o in COMPONENTS] or every
    panels = []
    for outcome in shown:
        mine = sorted(
            (row for row in rows if row.get("outcome") == outcome),
            key=lambda row: -row["mean_abs_shap"],
        )[:MOST]
        bars = [BarRow(str(row.get("choice")), [_shap_bar(row, outcome)]) for row in mine]
        title = LONG.get(outcome, in_words(outcome))
        panels.append(panel(title, bars, "mean |SHAP|, points of error"))
    return panels


def splits(answer: Row) -> list[str]:
    """The ways to leave out, the mildest first."""
    return list(dict.fromkeys(str(r.get("split")) for r in rows_of(answer, "validation", "r2")))


def validation(answer: Row) -> list[Markup | None]:
    """A panel a kind of model: for every outcome a bar a split."""
    rows = rows_of(answer, "validation", "r2")
    order = splits(answer)
    panels = []
    for model in dict.fromkeys(str(row.get("model")) for row in rows):
        mine = [row for row in rows if str(row.get("model")) == model]
        groups = []
        for outcome in dict.fromkeys(str(row.get("outcome")) for row in mine):
            known = [r for r in mine if str(r.get("outcome")) == outcome]
            bars = [_r2_bar(row, order) for row in known if finite(row.get("r2")) is not None]
            groups.append(BarRow(in_words(outcome), bars))
        panels.append(panel(_MODELS.get(model, model), groups, "R²", lowest=LOWEST))
    return panels


def validation_legend(answer: Row) -> Markup:
    """Colours of the splits."""
    order = splits(answer)
    return legend([(f"dot square {along(i, len(order))}", s) for i, s in enumerate(order)])


def sentences(answer: Row) -> list[str]:
    """What random folds promise and what is left where an objective or year was not seen."""
    found: dict[str, dict[str, float]] = {}
    for row in rows_of(answer, "validation", "r2"):
        value = finite(row.get("r2"))
        if row.get("model") == "trees" and row.get("outcome") in COMPONENTS and value is not None:
            found.setdefault(str(row["outcome"]), {})[str(row.get("split"))] = value
    parts = []
    for outcome, told in found.items():
        strict = [split for split in _STRICT if split in told]
        if "random" not in told or not strict:
            continue
        worst = min(strict, key=lambda split: told[split])
        parts.append(
            f"{LONG[outcome]} {_r2(told['random'])} on random folds, "
            f"{_r2(told[worst])} on an unseen {worst}"
        )
    if not parts:
        return []
    return ["How well design choices tell a new model, R² of trees: " + "; ".join(parts) + "."]


def _shap_bar(row: Row, outcome: str) -> Bar:
    value, share = float(row["mean_abs_shap"]), finite(row.get("share"))
    tip = f"{row.get('choice')} on {in_words(outcome)}: {plain(value)} points"
    if share is not None:
        tip += f", {100 * share:.0f} % of all choices"
    return Bar(value, colour(outcome), plain(value, 2), tip)


def _r2_bar(row: Row, order: list[str]) -> Bar:
    value, split = float(row["r2"]), str(row.get("split"))
    tip = (
        f"{in_words(str(row.get('outcome')))}, {row.get('model')}, {split}: R² {plain(value, 2)}, "
        f"rmse {plain(finite(row.get('rmse')))} points, {row.get('n')} models"
    )
    return Bar(value, along(order.index(split), len(order)), _r2(value), tip)


def _r2(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
