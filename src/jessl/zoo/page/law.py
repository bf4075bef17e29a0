"""Laws of the error with few labels: told against measured errors, and how each one transfers."""

from __future__ import annotations

from jessl.report.charts.bars import Bar, BarRow, panel
from jessl.report.charts.svg import Axis, Markup, line, picture, tag, text, tick_labels
from jessl.report.formatting import finite, plain
from jessl.zoo.page.labels import Row, along, in_words, legend, rows_of

WIDTH, HEIGHT = 400.0, 372.0
LOWEST = -1.0  # R2 below it says no more than that the law fails
_KNOWN = ("model", "setting", "images", "error")


def laws(answer: Row) -> list[str]:
    """The laws, the one first that fits best."""
    fit = {
        str(row.get("law")): value
        for row in rows_of(answer, "few_shot", "fit")
        if row.get("setting") == "all" and (value := finite(row.get("r2"))) is not None
    }
    return sorted(fit, key=lambda law: -fit[law])


def settings(answer: Row) -> list[str]:
    """Settings of the told errors, in the order of the table."""
    rows = rows_of(answer, "few_shot", "predictions")
    return list(dict.fromkeys(str(row.get("setting")) for row in rows))


def scatters(answer: Row) -> list[Markup | None]:
    """Told against measured errors, of the law that fits best and of the one that fits worst."""
    known = laws(answer)
    rows = rows_of(answer, "few_shot", "predictions")
    numbers = [
        v
        for row in rows
        for v in (finite(row.get("error")), *(finite(row.get(law)) for law in known))
        if v is not None
    ]
    if not numbers:
        return []
    order = settings(answer)
    return [
        _scatter(rows, law, order, min(numbers), max(numbers))
        for law in dict.fromkeys([*known[:1], *known[1:][-1:]])
    ]


def scatter_legend(answer: Row) -> Markup:
    """Colours of the settings."""
    order = settings(answer)
    return legend([(f"dot {along(i, len(order))}", in_words(s)) for i, s in enumerate(order)])


def transfer(answer: Row) -> list[Markup | None]:
    """R2 of every law, by what it was not fitted on; and by year, mode and family."""
    known = laws(answer)
    found = []
    for table, key, title in (
        ("left_out", "left_out", "R², each in turn left out"),
        ("held_out", "held_out", "R², one held out"),
    ):
        rows = rows_of(answer, "few_shot", table)
        groups = []
        for name in dict.fromkeys(str(row.get(key)) for row in rows):
            mine = {str(r.get("law")): r for r in rows if str(r.get(key)) == name}
            bars = [_bar(law, place, name, mine[law]) for place, law in _places(known, mine)]
            groups.append(BarRow(_shortened(name), [bar for bar in bars if bar is not None]))
        found.append(panel(title, groups, "R², without all labels", lowest=LOWEST))
    return found


def transfer_legend(answer: Row) -> Markup:
    """Colours of the laws."""
    return legend([(f"dot square {_law_colour(i)}", law) for i, law in enumerate(laws(answer))])


def sentences(answer: Row) -> list[str]:
    """What the best law is worth where it was not fitted."""
    known = laws(answer)
    rows = [
        row
        for row in rows_of(answer, "few_shot", "held_out")
        if known and row.get("law") == known[0] and finite(row.get("r2_few")) is not None
    ]
    if not rows:
        return []
    worst, best = (pick(rows, key=lambda row: row["r2_few"]) for pick in (min, max))
    said = (
        f"The law in {known[0]} tells the errors with few labels of models that it was not fitted "
        f"on with R² {plain(worst['r2_few'], 2)} ({worst['held_out']} held out) to "
        f"{plain(best['r2_few'], 2)} ({best['held_out']})"
    )
    other = [
        row["r2_few"]
        for row in rows_of(answer, "few_shot", "held_out")
        if row.get("law") == known[-1] and finite(row.get("r2_few")) is not None
    ]
    if len(known) > 1 and other:
        said += f"; the {known[-1]} law with {plain(min(other), 2)} to {plain(max(other), 2)}"
    return [said + "."]


def _scatter(rows: list[Row], law: str, order: list[str], low: float, high: float) -> Markup:
    left, right, top, bottom = 46.0, WIDTH - 8, 30.0, HEIGHT - 46
    across = Axis.over([low, high], left, right, pad=0.03)
    up = Axis.over([low, high], bottom, top, pad=0.03)
    parts = [text(0, 15, f"Law: {law}", "strong")]
    ticks = across.ticks(5)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts.append(line(left, up(tick), right, up(tick), "rule"))
        parts.append(text(left - 6, up(tick) + 4, label, "end tick"))
        parts.append(text(across(tick), bottom + 16, label, "mid tick"))
    parts.append(line(left, bottom, right, bottom, "base"))
    parts.append(line(across(low), up(low), across(high), up(high), "dash"))
    parts.append(text((left + right) / 2, bottom + 36, "measured error, %", "mid axis"))
    parts.append(text(left + 6, top + 8, "told error, %", "axis over"))
    for row in rows:
        error, told = finite(row.get("error")), finite(row.get(law))
        if error is None or told is None:
            continue
        setting, model = str(row.get("setting")), str(row.get("model"))
        parts.append(
            tag(
                "circle",
                cx=across(error),
                cy=up(told),
                r=3,
                class_=f"{along(order.index(setting), len(order))} fill hot",
                data_run=model,
                data_tip=f"{model}, {in_words(setting)}: {error:.1f}, told {told:.1f}",
            )
        )
    says = f"Errors told by the law in {law} against measured errors, of {len(rows)} pairs"
    return tag("div", picture(WIDTH, HEIGHT, says, *parts), class_="panel")


def _places(known: list[str], mine: dict[str, Row]) -> list[tuple[int, str]]:
    return [(place, law) for place, law in enumerate(known) if law in mine]


def _bar(law: str, place: int, name: str, row: Row) -> Bar | None:
    value = finite(row.get("r2_few"))
    if value is None:
        return None
    tip = f"{law}, {name}: R² {plain(value, 2)}, rmse {plain(finite(row.get('rmse_few')))} points"
    tip += f", {row.get('models')} models"
    return Bar(value, _law_colour(place), f"{value:.2f}".replace("-", "−"), tip)


def _law_colour(place: int) -> str:
    return f"m{(0, 2, 7)[place] if place < 3 else place}"


def _shortened(name: str) -> str:
    """What stands before an explanation: 'nothing: fitted on the same models' is 'nothing'."""
    return name.partition(":")[0].replace("random folds of models (flattering)", "random folds")
