"""How far few labels reorder the models: places with all and with the fewest, joined by lines."""

from __future__ import annotations

from jessl.report.charts.svg import Markup, fit, line, picture, spaced, tag, text
from jessl.report.formatting import finite, plain
from jessl.zoo.page.labels import Row, in_words, rows_of

LARGEST = 12  # models that are named
_GAP = 18.0


def settings(answer: Row) -> tuple[str, str] | None:
    """The two settings that the shifts compare; None without shifts."""
    rows = rows_of(answer, "ranking", "shifts")
    names = [key.removeprefix("place_") for key in (rows[0] if rows else {}) if _is_place(key)]
    return (names[0], names[1]) if len(names) == 2 else None


def moved(answer: Row) -> list[Row]:
    """Models that change their place, those that move farthest first."""
    rows = rows_of(answer, "ranking", "shifts")
    kept = [row for row in rows if finite(row.get("shift"))]
    return sorted(kept, key=lambda row: -abs(row["shift"]))


def draw(answer: Row, *, roomy: bool) -> Markup | None:
    """The lines, 880 px wide or 372 px; None without shifts."""
    pair = settings(answer)
    rows = rows_of(answer, "ranking", "shifts")
    if pair is None or len(rows) < 2:
        return None
    keys = [f"place_{name}" for name in pair]
    rows = [row for row in rows if all(finite(row.get(key)) is not None for key in keys)]
    last = max((row[key] for row in rows for key in keys), default=0)
    if last < 2:
        return None
    width = 880.0 if roomy else 372.0
    left, right = (60.0, 520.0) if roomy else (34.0, 132.0)
    top, bottom = 40.0, 40.0 + (460.0 if len(rows) > 30 else max(14.0 * last, 60.0))
    height = bottom + 16

    def place(value: float) -> float:
        return top + (value - 1) / (last - 1) * (bottom - top)

    named = {row["model"]: row for row in moved(answer)[:LARGEST] if row in rows}
    parts = [
        text(left if roomy else 0, 16, in_words(pair[0]), "strong mid" if roomy else "strong"),
        text(right, 16, in_words(pair[1]), "strong mid"),
        line(left, top, left, bottom, "base"),
        line(right, top, right, bottom, "base"),
    ]
    marks = sorted({1, *(m for m in (10, 25, 50, 100, 150, 200, 500) if m < 0.95 * last), last})
    for value in marks if last > 12 else sorted({1, last}):
        parts.append(text(left - 8, place(value) + 4, f"{value}", "end tick"))
    for row in sorted(rows, key=lambda row: row["model"] in named):
        parts.append(_line(row, keys, left, right, place(row[keys[0]]), place(row[keys[1]]), named))
    order = list(named.values())
    wanted = [place(row[keys[1]]) for row in order]
    room = width - right - 30
    for row, y, at in zip(order, spaced(wanted, _GAP, top, bottom), wanted, strict=True):
        ends = f"{row[keys[0]]} → {row[keys[1]]}"
        name = fit(str(row["model"]), room - 7.3 * (len(ends) + 2))
        parts.append(line(right + 4, at, right + 18, y, "leader"))
        parts.append(
            text(
                right + 22,
                y + 4,
                f"{name}  {ends}",
                f"ink {_colour(row)}",
                data_run=str(row["model"]),
            )
        )
    says = f"Places of {len(rows)} models, {in_words(pair[0])} and {in_words(pair[1])}"
    return picture(width, height, says, *parts)


def sentences(answer: Row) -> list[str]:
    """How well the order holds with the fewest labels, and who moves farthest."""
    pair, far = settings(answer), moved(answer)
    if pair is None:
        return []
    told = next(
        (
            row
            for row in rows_of(answer, "ranking", "agreement")
            if (row.get("first"), row.get("second")) == pair
        ),
        {},
    )
    tau, mean = finite(told.get("tau")), finite(told.get("mean_shift"))
    if tau is None or mean is None:
        return []
    said = (
        f"The order with {in_words(pair[0])} holds with {in_words(pair[1])} only in part: "
        if tau < 0.9
        else f"The order with {in_words(pair[0])} holds with {in_words(pair[1])}: "
    )
    said += (
        f"Kendall's tau {plain(tau, 2)}, on average {mean:.1f} places of {told.get('models')} apart"
    )
    if far:
        places = " to ".join(str(far[0][f"place_{name}"]) for name in pair)
        said += f"; {far[0]['model']} moves farthest, from place {places}"
    return [said + "."]


def _is_place(key: str) -> bool:
    return key.startswith("place_")


def _colour(row: Row) -> str:
    return "m2" if row["shift"] > 0 else "m1"


def _line(
    row: Row, keys: list[str], left: float, right: float, y1: float, y2: float, named: Row
) -> Markup:
    name = str(row["model"])
    shift = finite(row.get("shift")) or 0.0
    tip = f"{name}: place {row[keys[0]]} with {in_words(keys[0][6:])}, {row[keys[1]]} with "
    tip += f"{in_words(keys[1][6:])}"
    shown = f"line edge {_colour(row)}" if row["model"] in named and shift else "base"
    ends = {"x1": left, "y1": y1, "x2": right, "y2": y2}
    return tag(
        "g",
        tag("line", **ends, class_=shown),
        tag("line", **ends, class_="grab"),
        class_="hot",
        data_run=name,
        data_tip=tip,
    )
