"""How far few labels reorder the models: ranks with all and with the fewest, joined by lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts.svg import Size, drawing, line, shorten, spread_apart, tag, text
from jessl.report.formatting import format_fixed, format_number
from jessl.report.json_values import number, word
from jessl.zoo.page.answer import Row, rows_of
from jessl.zoo.page.labels import in_words

LARGEST = 12  # models that are named
_GAP = 18.0
_KEY = "place_"


@dataclass(frozen=True)
class Shift:
    """A model, its ranks in the two settings, and how far it moves up."""

    model: str
    first: int
    second: int
    moved: float

    @property
    def colour(self) -> str:
        """Green upwards, orange downwards."""
        return "m2" if self.moved > 0 else "m1"


def compared_settings(answer: Row) -> tuple[str, str] | None:
    """The two settings that the shifts compare; None without shifts."""
    rows = rows_of(answer, "ranking", "shifts")
    keys = rows[0] if rows else {}
    names = [key.removeprefix(_KEY) for key in keys if key.startswith(_KEY)]
    return (names[0], names[1]) if len(names) == 2 else None


def draw_shifts(answer: Row, size: Size) -> Markup | None:
    """The lines; None without shifts."""
    pair, shifts = compared_settings(answer), _shifts(answer)
    last = max((rank for s in shifts for rank in (s.first, s.second)), default=0)
    if pair is None or len(rows_of(answer, "ranking", "shifts")) < 2 or last < 2:
        return None
    left, right = (60.0, 520.0) if size.wide else (34.0, 132.0)
    top = 40.0
    bottom = top + (460.0 if len(shifts) > 30 else max(14.0 * last, 60.0))

    def height(rank: int) -> float:
        return top + (rank - 1) / (last - 1) * (bottom - top)

    named = _farthest(shifts)[:LARGEST]
    first = ("strong mid", left) if size.wide else ("strong", 0.0)
    parts = [
        text(first[1], 16, in_words(pair[0]), first[0]),
        text(right, 16, in_words(pair[1]), "strong mid"),
        line(left, top, left, bottom, "base"),
        line(right, top, right, bottom, "base"),
    ]
    marks = {m for m in (10, 25, 50, 100, 150, 200, 500) if m < 0.95 * last and last > 12}
    for rank in sorted({1, last} | marks):
        parts.append(text(left - 8, height(rank) + 4, f"{rank}", "end tick"))
    for shift in sorted(shifts, key=lambda shift: shift in named):
        ends = {"x1": left, "y1": height(shift.first), "x2": right, "y2": height(shift.second)}
        parts.append(_line(shift, pair, ends, named=shift in named))
    positions = [height(shift.second) for shift in named]
    for shift, y, at in zip(
        named, spread_apart(positions, _GAP, top, bottom), positions, strict=True
    ):
        ranks = f"{shift.first} → {shift.second}"
        name = shorten(shift.model, size.width - right - 30 - 7.3 * (len(ranks) + 2))
        parts.append(line(right + 4, at, right + 18, y, "leader"))
        label = f"{name}  {ranks}"
        parts.append(text(right + 22, y + 4, label, f"ink {shift.colour}", data_run=shift.model))
    settings = f"{in_words(pair[0])} and {in_words(pair[1])}"
    description = f"Ranks of {len(shifts)} models, {settings}"
    return drawing(size.width, bottom + 16, description, *parts)


def shift_sentences(answer: Row) -> list[str]:
    """How well the order holds with the fewest labels, and which model moves farthest."""
    pair = compared_settings(answer)
    if pair is None:
        return []
    rows = rows_of(answer, "ranking", "agreement")
    agreement = next((r for r in rows if (r.get("first"), r.get("second")) == pair), {})
    tau, mean = number(agreement, "tau"), number(agreement, "mean_shift")
    if tau is None or mean is None:
        return []
    holds = "only partly holds" if tau < 0.9 else "holds"
    sentence = (
        f"The order with {in_words(pair[0])} {holds} with {in_words(pair[1])}: Kendall's tau "
        f"{format_number(tau, 2)}, on average {format_fixed(mean)} ranks of "
        f"{agreement.get('models')} apart"
    )
    if far := _farthest(_shifts(answer)):
        sentence += f"; {far[0].model} moves farthest, from rank {far[0].first} to {far[0].second}"
    return [sentence + "."]


def _shifts(answer: Row) -> list[Shift]:
    """The models whose ranks are known in both settings."""
    shifts = []
    settings = compared_settings(answer) or ()
    for row in rows_of(answer, "ranking", "shifts"):
        ranks = [number(row, f"{_KEY}{name}") for name in settings]
        if len(ranks) == 2 and ranks[0] is not None and ranks[1] is not None:
            moved = number(row, "shift") or 0.0
            shifts.append(Shift(word(row, "model"), int(ranks[0]), int(ranks[1]), moved))
    return shifts


def _farthest(shifts: Sequence[Shift]) -> list[Shift]:
    """Models that change their rank, those that move farthest first."""
    return sorted((s for s in shifts if s.moved), key=lambda shift: -abs(shift.moved))


def _line(shift: Shift, pair: tuple[str, str], ends: dict[str, float], *, named: bool) -> Markup:
    tip = f"{shift.model}: rank {shift.first} with {in_words(pair[0])}, "
    tip += f"{shift.second} with {in_words(pair[1])}"
    return tag(
        "g",
        tag("line", **ends, class_=f"line edge {shift.colour}" if named else "base"),
        tag("line", **ends, class_="grab"),
        class_="hot",
        data_run=shift.model,
        data_tip=tip,
    )
