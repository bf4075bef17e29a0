"""Effects of design choices on the components: controlled, and of the linear model beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from jessl.report.charts import dots as zoo_dots
from jessl.report.charts.dots import Dot, Line
from jessl.report.charts.svg import Markup, tag
from jessl.report.formatting import finite, plain
from jessl.zoo.page.labels import (
    COMPONENTS,
    LONG,
    Row,
    amount,
    colour,
    ends,
    excludes_zero,
    in_words,
    rows_of,
    signed,
    span,
)

PREFERRED = ("usability", "probe_gen", "enc_gen", "approx")
UNIT = "points of error; to the left: less"
PER_LN = "points per ln"
LARGEST_P = 0.05


def choice_of(row: Row) -> tuple[str, str, str]:
    """What tells the rows of one effect: choice, level, reference."""
    return (str(row.get("choice")), str(row.get("level") or ""), str(row.get("reference") or ""))


def told(rows: Iterable[Row]) -> list[Row]:
    """The effects that could be told."""
    return [row for row in rows if finite(row.get("effect")) is not None]


def is_sure(row: Row) -> bool:
    """Whether the interval excludes zero and, where it was made, the permutation test agrees."""
    permuted = finite(row.get("p_permuted"))
    return excludes_zero(row) and (permuted is None or permuted <= LARGEST_P)


def outcomes(rows: Iterable[Row]) -> list[str]:
    """The two outcomes to show: usability and probe generalization, else what there is."""
    found = list(dict.fromkeys(str(row.get("outcome")) for row in rows))
    return [*(o for o in PREFERRED if o in found), *(o for o in found if o not in PREFERRED)][:2]


def draw_controlled(answer: Row, *, roomy: bool) -> Markup | None:
    """Controlled effects with the linear model's effect below each; None without any."""
    mine = told(rows_of(answer, "controlled", "effects"))
    beside = told(rows_of(answer, "linear", "effects"))
    return _draw(mine, beside, "Controlled effects of design choices", roomy)


def draw_linear(answer: Row, *, roomy: bool) -> Markup | None:
    """Effects of the linear model over all models; None without any."""
    mine = told(rows_of(answer, "linear", "effects"))
    return _draw(mine, [], "Effects of design choices in the linear model", roomy)


def effect_legend(*, linear_beside: bool) -> Markup:
    """What filled, hollow and small marks are."""
    items = [
        tag("li", tag("i", class_="dot m7"), " told from 0"),
        tag("li", tag("i", class_="dot hollow"), " not told from 0"),
    ]
    if linear_beside:
        small = tag("span", "◆", class_="shape")
        items.append(tag("li", small, " small, below: the linear model over all models"))
    return tag("ul", *items, class_="legend")


def unestimated(rows: Iterable[Row]) -> list[str]:
    """Choices without any effect that could be told."""
    every = list(rows)
    known = {row.get("choice") for row in told(every)}
    return list(dict.fromkeys(str(r["choice"]) for r in every if r.get("choice") not in known))


def _draw(mine: list[Row], beside: list[Row], says: str, roomy: bool) -> Markup | None:
    shown = outcomes(mine)
    mine = [row for row in mine if row.get("outcome") in shown]
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for row in mine:
        grouped.setdefault(choice_of(row), []).append(row)
    order = sorted(grouped, key=lambda key: min(_p(row) for row in grouped[key]))
    lines = []
    for key in order:
        columns = []
        for outcome in shown:
            dots = [_dot(row) for row in grouped[key] if row.get("outcome") == outcome]
            if dots:
                dots += [
                    _dot(row, second=True)
                    for row in beside
                    if row.get("outcome") == outcome and choice_of(row) == key
                ]
            columns.append(dots)
        lines.append(Line(key[0], _note(grouped[key]), columns))
    titles = [(LONG.get(o, in_words(o)), f"{colour(o)} fill") for o in shown]
    return zoo_dots.draw(titles, lines, UNIT, says, roomy=roomy)


def _p(row: Row) -> float:
    p = finite(row.get("p"))
    return 1.0 if p is None else p


def _note(rows: list[Row]) -> str:
    """The level or unit, and how many models and groups the effects are from."""
    first = rows[0]
    what = f"{first['level']} for {first['reference']}" if first.get("level") else "per ln"
    if not first.get("level") and first.get("unit"):
        what = str(first["unit"]).removeprefix("points ")
    counts = []
    for key, word in (("n_models", "model"), ("n_groups", "group")):
        found = sorted({row[key] for row in rows if row.get(key) is not None})
        if found:
            one = amount(found[0], word)
            counts.append(one if len(found) == 1 else f"{found[0]}–{amount(found[-1], word)}")
    return ", ".join([what, *counts])


def _dot(row: Row, *, second: bool = False) -> Dot:
    outcome, (low, high) = str(row.get("outcome")), ends(row)
    effect = float(row["effect"])
    how = "linear model" if second or "n_groups" not in row else "controlled"
    tip = f"{row.get('choice')} ({_note([row])}) on {in_words(outcome)}, {how}: {signed(effect, 3)}"
    if low is not None:
        tip += f" ({span(low, high)})"
    for key, word in (("p", "p"), ("p_permuted", "permuted p")):
        if (p := finite(row.get(key))) is not None:
            tip += f", {word} {plain(p, 2)}"
    return Dot(
        effect,
        low,
        high,
        "m7" if second else colour(outcome),
        tip,
        sure=is_sure(row),
        second=second,
    )


def sentences(answer: Row) -> list[str]:
    """What moves which component, what the linear model says to that, and what chance would do."""
    every = [
        row
        for row in told(rows_of(answer, "controlled", "effects"))
        if row.get("outcome") in COMPONENTS
    ]
    if not every:
        return []
    sure = sorted((row for row in every if is_sure(row)), key=_p)
    chance = (
        f"{amount(len(every), 'controlled effect')} on components could be told; if none were "
        f"real, intervals of about {plain(0.05 * len(every), 1)} would exclude 0 by chance."
    )
    if not sure:
        return [f"No design choice moves a component beyond its interval. {chance}"]
    by_choice: dict[tuple[str, str, str], list[Row]] = {}
    for row in sure:
        by_choice.setdefault(choice_of(row), []).append(row)
    parts = []
    for rows in by_choice.values():
        moved = " and ".join(
            f"{in_words(row['outcome'])} by {signed(_doubled(row))}" for row in rows
        )
        counts = f"{amount(rows[0]['n_models'], 'model')}, {amount(rows[0]['n_groups'], 'group')}"
        parts.append(f"{_change(rows[0])} moves {moved} points of error ({counts})")
    found = ["Where nothing else differs, " + "; ".join(parts) + "."]
    found += _trades(by_choice, answer)
    linear = {
        (*choice_of(row), row.get("outcome")): row
        for row in told(rows_of(answer, "linear", "effects"))
    }
    pairs = [(row, linear.get((*choice_of(row), row.get("outcome")))) for row in sure]
    asked = [(row, other) for row, other in pairs if other is not None]
    if asked:
        agreed = [r for r, o in asked if excludes_zero(o) and r["effect"] * o["effect"] > 0]
        names = ", ".join(f"{r['choice']} on {in_words(r['outcome'])}" for r in agreed)
        found.append(
            f"The linear model over all models, other things given, confirms {len(agreed)} of "
            f"the {len(asked)} that it can tell" + (f": {names}. " if names else ". ") + chance
        )
    else:
        found.append(chance)
    return found


def _change(row: Row) -> str:
    """The change that a headline is about: of a level, a doubling, or one more."""
    choice, level, reference = choice_of(row)
    if level:
        return f"{choice} {level} instead of {reference}"
    return f"doubling {choice}" if row.get("unit") == PER_LN else f"one more of {choice}"


def _doubled(row: Row, value: float | None = None) -> float:
    """An effect (or a bound of it) for the change that a headline is about."""
    value = float(row["effect"]) if value is None else value
    return value * math.log(2) if row.get("unit") == PER_LN else value


def _trades(by_choice: dict[tuple[str, str, str], list[Row]], answer: Row) -> list[str]:
    """Choices that lower one component and raise another, and what is left of it in the error."""
    full = {
        choice_of(row): row
        for row in told(rows_of(answer, "controlled", "effects"))
        if row.get("outcome") == "full"
    }
    found = []
    for key, rows in by_choice.items():
        down = [in_words(r["outcome"]) for r in rows if r["effect"] < 0]
        up = [in_words(r["outcome"]) for r in rows if r["effect"] > 0]
        if not (down and up):
            continue
        said = _change(rows[0])
        said = f"{said[0].upper()}{said[1:]} buys less {' and '.join(down)} error with more "
        said += f"{' and '.join(up)} error"
        if (row := full.get(key)) is not None:
            low, high = ends(row)
            verdict = "changes" if excludes_zero(row) else "is not told to change"
            said += f"; the error with all labels {verdict} ({signed(_doubled(row))} points"
            ends_said = [_doubled(row, bound) for bound in (low, high)]
            said += f", 95 %: {span(*ends_said)})" if low is not None else ")"
        found.append(said + ".")
    return found
