"""What the page of a comparison of encoders shares: columns, their names, rows, colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jessl.report.formatting import finite, plain
from jessl.schema import capitalized, score_title
from jessl.schema import few_rows as is_few

Row = dict[str, Any]

# column -> what stands first, what it is
_RULES: dict[str, tuple[str, str]] = {
    "rankme": ("higher first", "effective rank of the features; follows their number d"),
    "normalized_rank": ("higher first", "the share of the d features that is used"),
    "lidar": ("higher first", "effective rank of what tells images apart beyond views"),
    "alpha_req": ("nearest to 1 first", "how steeply the spectrum falls"),
    "twonn": ("lower first", "TwoNN: directions in which neighbours differ"),
    "uniformity": ("lower first", "how evenly the directions are spread"),
    "alignment": ("lower first", "how close the views of an image lie"),
}
# column -> title, what stands first, what it is
SCORES: dict[str, tuple[str, str, str]] = {
    name: (capitalized(score_title(name)), *rule) for name, rule in _RULES.items()
}
ERROR = "error"


def title_of(column: str) -> str:
    """A column in words."""
    return capitalized(score_title(column))


def encoders_of(answer: Row) -> list[Row]:
    """All rows, in the order asked for."""
    return [row for row in answer.get("encoders") or [] if isinstance(row, dict)]


def good_of(answer: Row) -> list[Row]:
    """The rows that have numbers."""
    return [row for row in encoders_of(answer) if row.get("failed") is None]


def columns_of(answer: Row) -> list[str]:
    """The scores of which at least one encoder has a number."""
    good = good_of(answer)
    return [c for c in SCORES if any(score_of(row, c)[0] is not None for row in good)]


def score_of(row: Row, column: str) -> tuple[float | None, float | None, float | None]:
    """(value, low, high) of a score, or of the error where column is error."""
    held = (row.get("scores") or {}).get(column) or {}
    if column == ERROR:
        held = (row.get("labelled") or {}).get("error") or {}
    value, low, high = (finite(held.get(key)) for key in ("value", "low", "high"))
    return value, low, high


def doubts_of(row: Row, column: str) -> list[str]:
    """What makes a score doubtful."""
    held = (row.get("scores") or {}).get(column) or {}
    return [str(w) for w in held.get("warnings") or []]


def few_rows(row: Row, column: str) -> bool:
    """Whether a score of the spectrum was taken on fewer than 4 d rows."""
    held = (row.get("scores") or {}).get(column) or {}
    n, d = finite(held.get("n")), finite(held.get("d"))
    spectral = column in ("rankme", "normalized_rank", "alpha_req")
    return spectral and n is not None and d is not None and is_few(n, d)


def colour(answer: Row, name: str) -> str:
    """The class of an encoder's colour; they repeat after eight."""
    names = [str(row.get("name")) for row in encoders_of(answer)]
    return f"m{names.index(name) % 8}" if name in names else "m7"


def ordered(answer: Row, column: str) -> list[Row]:
    """The rows by a column's order, best first; those without a number are left out."""
    order = next((o for o in answer.get("orders") or [] if o.get("column") == column), None)
    good = [row for row in good_of(answer) if score_of(row, column)[0] is not None]
    if order is None:
        return good
    place = {str(name): k for k, name in enumerate(order.get("names") or [])}
    return sorted(good, key=lambda row: place.get(str(row.get("name")), len(place)))


def amount(value: float | None) -> str:
    """A count with thousands apart; None gives a dash."""
    return "–" if value is None else f"{value:,.0f}"


def tenths(value: float) -> str:
    """A number with one decimal: what errors in percent are good for."""
    said = f"{value:.1f}".replace("-", "−")
    return "0.0" if said == "−0.0" else said


def span(
    low: float | None, high: float | None, write: Callable[[float], str] = plain
) -> str | None:
    """An interval in words, None where it is not known."""
    if low is None or high is None:
        return None
    return f"{write(low)} to {write(high)}"


def percents(low: float | None, high: float | None) -> str | None:
    """An interval of fractions in percent, without the sign."""
    return span(low, high, lambda value: tenths(100 * value))
