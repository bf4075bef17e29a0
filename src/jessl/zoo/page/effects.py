"""Effects of design choices on the components: controlled, and of the linear model beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.dots import Dot, DotColumn, DotRow, dot_columns
from jessl.report.charts.svg import Size
from jessl.report.formatting import count, format_number, format_signed
from jessl.report.json_values import Interval, interval, number, word
from jessl.report.pages.content import LegendItem
from jessl.zoo.page.answer import Row, rows_of
from jessl.zoo.page.labels import COMPONENTS, LONG, colour, in_words, span

PREFERRED = ("usability", "probe_gen", "enc_gen", "approx")
UNIT = "points of error; to the left: less"
PER_LN = "points per ln"
LARGEST_P = 0.05

# choice, level, reference
Choice = tuple[str, str, str]


@dataclass(frozen=True)
class Effect:
    """An estimated effect of a choice on an outcome, in points of error."""

    choice: str
    level: str
    reference: str
    outcome: str
    value: float
    bounds: Interval | None
    p: float | None
    p_permuted: float | None
    unit: str
    models: int | None
    groups: int | None
    controlled: bool

    @property
    def key(self) -> Choice:
        """What the effects of one choice on several outcomes share."""
        return (self.choice, self.level, self.reference)

    @property
    def excludes_zero(self) -> bool:
        """Whether the 95 % interval lies on one side of zero."""
        return self.bounds is not None and self.bounds[0] * self.bounds[1] > 0

    @property
    def is_sure(self) -> bool:
        """Whether the interval excludes zero and the permutation test, if any, agrees."""
        permuted = self.p_permuted
        return self.excludes_zero and (permuted is None or permuted <= LARGEST_P)

    @property
    def change(self) -> str:
        """The change that a headline is about: of a level, a doubling, or one more."""
        if self.level:
            return f"{self.choice} {self.level} instead of {self.reference}"
        return f"doubling {self.choice}" if self.unit == PER_LN else f"one more of {self.choice}"

    def doubled(self, value: float) -> float:
        """The effect, or a bound of it, for the change that a headline is about."""
        return value * math.log(2) if self.unit == PER_LN else value


def effects_of(answer: Row, section: str) -> list[Effect]:
    """The effects of a section that could be estimated."""
    effects = []
    for row in rows_of(answer, section, "effects"):
        value = number(row, "effect")
        if value is None:
            continue
        models, groups = number(row, "n_models"), number(row, "n_groups")
        effects.append(
            Effect(
                choice=word(row, "choice"),
                level=word(row, "level"),
                reference=word(row, "reference"),
                outcome=word(row, "outcome"),
                value=value,
                bounds=interval(row),
                p=number(row, "p"),
                p_permuted=number(row, "p_permuted"),
                unit=word(row, "unit"),
                models=None if models is None else int(models),
                groups=None if groups is None else int(groups),
                controlled="n_groups" in row,
            )
        )
    return effects


def draw_controlled(answer: Row, size: Size) -> Markup | None:
    """Controlled effects with the linear model's effect below each; None without any."""
    mine, beside = effects_of(answer, "controlled"), effects_of(answer, "linear")
    return _draw(mine, beside, "Controlled effects of design choices", size)


def draw_linear(answer: Row, size: Size) -> Markup | None:
    """Effects of the linear model over all models; None without any."""
    mine = effects_of(answer, "linear")
    return _draw(mine, [], "Effects of design choices in the linear model", size)


def effect_legend(*, linear_beside: bool) -> list[LegendItem]:
    """What filled, hollow and small marks are."""
    items = [
        LegendItem("differs from 0", class_="dot m7"),
        LegendItem("not distinguishable from 0", class_="dot hollow"),
    ]
    if linear_beside:
        items.append(LegendItem("small, below: the linear model over all models", shape="◆"))
    return items


def unestimated_choices(answer: Row) -> list[str]:
    """Choices without a controlled effect on the outcomes that are drawn."""
    known = effects_of(answer, "controlled")
    shown = _outcomes(known)
    rows = [
        row
        for row in rows_of(answer, "controlled", "effects")
        if not shown or word(row, "outcome") in shown
    ]
    estimated = {effect.choice for effect in known if effect.outcome in shown}
    return list(dict.fromkeys(c for row in rows if (c := word(row, "choice")) not in estimated))


def effect_sentences(answer: Row) -> list[str]:
    """What moves which component, whether the linear model agrees, and what chance would do."""
    controlled = [e for e in effects_of(answer, "controlled") if e.outcome in COMPONENTS]
    if not controlled:
        return []
    sure = sorted((effect for effect in controlled if effect.is_sure), key=_p)
    chance = (
        f"{count(len(controlled), 'controlled effect')} on components could be estimated; if none "
        f"were real, about {format_number(0.05 * len(controlled), 1)} of the intervals would "
        "exclude 0 by chance."
    )
    if not sure:
        return [f"No design choice moves a component beyond its interval. {chance}"]
    by_choice = _by_choice(sure)
    parts = []
    for effects in by_choice.values():
        first = effects[0]
        moved = " and ".join(
            f"{in_words(e.outcome)} by {format_signed(e.doubled(e.value))}" for e in effects
        )
        parts.append(f"{first.change} moves {moved} points of error ({_counts([first])})")
    sentences = ["Where nothing else differs, " + "; ".join(parts) + "."]
    sentences += _trades(by_choice, answer)
    linear = {(e.key, e.outcome): e for e in effects_of(answer, "linear")}
    pairs = [(e, other) for e in sure if (other := linear.get((e.key, e.outcome))) is not None]
    if not pairs:
        return [*sentences, chance]
    agreed = [e for e, other in pairs if other.excludes_zero and e.value * other.value > 0]
    names = ", ".join(f"{e.choice} on {in_words(e.outcome)}" for e in agreed)
    confirmed = (
        "The linear model over all models, adjusted for other columns, confirms "
        f"{len(agreed)} of the {len(pairs)} that it estimates"
    )
    return [*sentences, f"{confirmed}{f': {names}' if names else ''}. {chance}"]


def _by_choice(effects: Iterable[Effect]) -> dict[Choice, list[Effect]]:
    grouped: dict[Choice, list[Effect]] = {}
    for effect in effects:
        grouped.setdefault(effect.key, []).append(effect)
    return grouped


def _trades(by_choice: dict[Choice, list[Effect]], answer: Row) -> list[str]:
    """Choices that lower one component and raise another, and the effect on the whole error."""
    full = {e.key: e for e in effects_of(answer, "controlled") if e.outcome == "full"}
    sentences = []
    for key, effects in by_choice.items():
        down = [in_words(e.outcome) for e in effects if e.value < 0]
        up = [in_words(e.outcome) for e in effects if e.value > 0]
        if not (down and up):
            continue
        change = effects[0].change
        text = f"{change[0].upper()}{change[1:]} lowers {' and '.join(down)} error and raises "
        text += f"{' and '.join(up)} error"
        if (whole := full.get(key)) is not None:
            outcome = "changes" if whole.excludes_zero else "does not measurably change"
            value = format_signed(whole.doubled(whole.value))
            text += f"; the error with all labels {outcome} ({value} points"
            if whole.bounds is not None:
                low, high = (whole.doubled(bound) for bound in whole.bounds)
                text += f", 95 %: {span((low, high))}"
            text += ")"
        sentences.append(text + ".")
    return sentences


def _outcomes(effects: Iterable[Effect]) -> list[str]:
    """The two outcomes to show: usability and probe generalization, else what there is."""
    present = list(dict.fromkeys(effect.outcome for effect in effects))
    preferred = [o for o in PREFERRED if o in present]
    return [*preferred, *(o for o in present if o not in PREFERRED)][:2]


def _draw(mine: list[Effect], beside: list[Effect], description: str, size: Size) -> Markup | None:
    shown = _outcomes(mine)
    grouped = _by_choice(effect for effect in mine if effect.outcome in shown)
    rows = []
    for key in sorted(grouped, key=lambda key: min(_p(effect) for effect in grouped[key])):
        columns = []
        for outcome in shown:
            dots = [_dot(e) for e in grouped[key] if e.outcome == outcome]
            if dots:
                same = (e for e in beside if e.outcome == outcome and e.key == key)
                dots += [_dot(e, second=True) for e in same]
            columns.append(dots)
        rows.append(DotRow(key[0], _note(grouped[key]), columns))
    titles = [DotColumn(LONG.get(o, in_words(o)), f"{colour(o)} fill") for o in shown]
    return dot_columns(titles, rows, UNIT, description, size)


def _p(effect: Effect) -> float:
    return 1.0 if effect.p is None else effect.p


def _note(effects: list[Effect]) -> str:
    """The level or unit, and how many models and groups the effects are from."""
    first = effects[0]
    what = f"{first.level} for {first.reference}" if first.level else "per ln"
    if not first.level and first.unit:
        what = first.unit.removeprefix("points ")
    return f"{what}, {counts}" if (counts := _counts(effects)) else what


def _counts(effects: list[Effect]) -> str:
    """25 models, 10 groups; of several effects the range."""
    counts = (
        _range({e.models for e in effects}, "model"),
        _range({e.groups for e in effects}, "group"),
    )
    return ", ".join(part for part in counts if part)


def _range(numbers: set[int | None], noun: str) -> str:
    known = sorted(n for n in numbers if n is not None)
    if not known:
        return ""
    last = count(known[-1], noun)
    return last if len(known) == 1 else f"{known[0]}–{last}"


def _dot(effect: Effect, *, second: bool = False) -> Dot:
    how = "controlled" if effect.controlled and not second else "linear model"
    tip = f"{effect.choice} ({_note([effect])}) on {in_words(effect.outcome)}, {how}: "
    tip += format_signed(effect.value, 3)
    if effect.bounds is not None:
        tip += f" ({span(effect.bounds)})"
    for p, name in ((effect.p, "p"), (effect.p_permuted, "permuted p")):
        if p is not None:
            tip += f", {name} {format_number(p, 2)}"
    low, high = effect.bounds or (None, None)
    class_ = "m7" if second else colour(effect.outcome)
    return Dot(effect.value, low, high, class_, tip, sure=effect.is_sure, second=second)
