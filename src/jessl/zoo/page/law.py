"""Laws of the error with few labels: predicted against measured errors, and how each transfers."""

from __future__ import annotations

from markupsafe import Markup

from jessl.report.charts.axis import Axis
from jessl.report.charts.bars import Bar, BarRow, bar_panel
from jessl.report.charts.scatter import Frame, Point, scatter
from jessl.report.charts.svg import panel, text
from jessl.report.formatting import format_fixed, format_number
from jessl.report.json_values import number, word
from jessl.report.pages.content import LegendItem
from jessl.zoo.page.answer import Row, distinct, known, rows_of
from jessl.zoo.page.labels import in_words, scale_colour, scale_legend

WIDTH, HEIGHT = 400.0, 376.0
LOWEST = -1.0  # R2 below it shows no more than that the law fails
_FRAME = Frame(46.0, WIDTH - 8, 36.0, HEIGHT - 46)


def law_scatters(answer: Row) -> list[Markup | None]:
    """Predicted against measured errors, of the laws that fit best and worst."""
    laws = _laws(answer)
    rows = known(rows_of(answer, "few_shot", "predictions"), "error")
    predicted = [v for row, _ in rows for law in laws if (v := number(row, law)) is not None]
    reach = [*(error for _, error in rows), *predicted]
    if not predicted:
        return []
    axes = (
        Axis.over(reach, _FRAME.left, _FRAME.right, pad=0.03),
        Axis.over(reach, _FRAME.bottom, _FRAME.top, pad=0.03),
    )
    order = _settings(answer)
    return [_scatter(rows, law, order, *axes) for law in dict.fromkeys([*laws[:1], *laws[1:][-1:]])]


def scatter_legend(answer: Row) -> list[LegendItem]:
    """Colours of the settings."""
    return scale_legend(_settings(answer))


def transfer_panels(answer: Row) -> list[Markup | None]:
    """R2 of every law, by what it was not fitted on; and by year, mode and family."""
    laws = _laws(answer)
    panels = []
    for key, title in (("left_out", "R², each in turn left out"), ("held_out", "R², one held out")):
        rows = rows_of(answer, "few_shot", key)
        groups = []
        for name in distinct(rows, key):
            mine = {word(r, "law"): r for r in rows if word(r, key) == name}
            bars = (
                _bar(law, place, name, mine[law]) for place, law in enumerate(laws) if law in mine
            )
            groups.append(BarRow(_shortened(name), [bar for bar in bars if bar is not None]))
        panels.append(bar_panel(title, groups, "R², without all labels", lowest=LOWEST))
    return panels


def transfer_legend(answer: Row) -> list[LegendItem]:
    """Colours of the laws."""
    return [
        LegendItem(law, class_=f"dot square {_law_colour(i)}")
        for i, law in enumerate(_laws(answer))
    ]


def law_sentences(answer: Row) -> list[str]:
    """How well the best law predicts models that it was not fitted on."""
    laws = _laws(answer)
    rows = known(rows_of(answer, "few_shot", "held_out"), "r2_few")
    best = [(row, r2) for row, r2 in rows if laws and word(row, "law") == laws[0]]
    if not best:
        return []
    (low_row, low), (high_row, high) = (pick(best, key=lambda pair: pair[1]) for pick in (min, max))
    text = (
        f"The law in {laws[0]} predicts the errors with few labels of models that it was not "
        f"fitted on with R² {format_number(low, 2)} ({word(low_row, 'held_out')} held out) to "
        f"{format_number(high, 2)} ({word(high_row, 'held_out')})"
    )
    other = [r2 for row, r2 in rows if word(row, "law") == laws[-1]]
    if len(laws) > 1 and other:
        ends = f"{format_number(min(other), 2)} to {format_number(max(other), 2)}"
        text += f"; the {laws[-1]} law with {ends}"
    return [text + "."]


def _laws(answer: Row) -> list[str]:
    """The laws, the one that fits best first."""
    rows = known(rows_of(answer, "few_shot", "fit"), "r2")
    fit = {word(row, "law"): r2 for row, r2 in rows if row.get("setting") == "all"}
    return sorted(fit, key=lambda law: -fit[law])


def _settings(answer: Row) -> list[str]:
    """Settings of the predicted errors, in the order of the table."""
    return distinct(rows_of(answer, "few_shot", "predictions"), "setting")


def _scatter(
    rows: list[tuple[Row, float]], law: str, order: list[str], across: Axis, up: Axis
) -> Markup:
    points = []
    for row, error in rows:
        predicted = number(row, law)
        if predicted is None:
            continue
        setting, model = word(row, "setting"), word(row, "model")
        values = f"{format_fixed(error)}, predicted {format_fixed(predicted)}"
        tip = f"{model}, {in_words(setting)}: {values}"
        class_ = scale_colour(order.index(setting), len(order))
        points.append(Point(error, predicted, class_, tip, model, size=3.0))
    titles = ("measured error, %", "predicted error, %")
    parts = scatter(points, across, up, _FRAME, *titles, diagonal=True)
    heading = text(0, 15, f"Law: {law}", "strong")
    description = f"Errors predicted by the law in {law} against measured errors, {len(rows)} pairs"
    return panel(WIDTH, HEIGHT, description, heading, *parts)


def _bar(law: str, place: int, name: str, row: Row) -> Bar | None:
    value = number(row, "r2_few")
    if value is None:
        return None
    rmse = format_number(number(row, "rmse_few"))
    tip = f"{law}, {name}: R² {format_number(value, 2)}, rmse {rmse} points"
    tip += f", {row.get('models')} models"
    return Bar(value, _law_colour(place), format_fixed(value, 2), tip)


def _law_colour(place: int) -> str:
    return f"m{(0, 2, 7)[place] if place < 3 else place}"


def _shortened(name: str) -> str:
    """What stands before an explanation: 'nothing: fitted on the same models' is 'nothing'."""
    return name.partition(":")[0].replace("random folds of models (flattering)", "random folds")
