"""What the report of a table of models has in common: its rows, its words, its colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jessl import schema
from jessl.report.charts.svg import Markup, join, tag
from jessl.report.formatting import finite, plain
from jessl.schema import ERROR_SETTINGS, PUBLISHED_COMPONENTS

Row = dict[str, Any]

COMPONENTS = PUBLISHED_COMPONENTS
LONG = {component.published: component.title for component in schema.COMPONENTS}
WORDS = {
    **{c.published: c.short_title for c in schema.COMPONENTS if c.published != c.short_title},
    **{setting.name: setting.title for setting in ERROR_SETTINGS},
}


def in_words(name: str) -> str:
    """A key as words: probe_gen is probe gen., error_30shot is error 30 shots."""
    for key, words in WORDS.items():
        if name == key or name.startswith((f"{key} ", f"{key}_")) or name.endswith(f"_{key}"):
            name = name.replace(key, words)
    return name.replace("_", " ").strip()


def rows_of(answer: Row, section: str, table: str) -> list[Row]:
    """The rows of a table of the answer; none where it or its section is not there."""
    held = (answer.get("sections") or {}).get(section) or {}
    return list(((held.get("tables") or {}).get(table) or {}).get("rows") or [])


def colour(outcome: str) -> str:
    """The class of a component's colour; grey for everything else."""
    return f"k{COMPONENTS.index(outcome)}" if outcome in COMPONENTS else "m7"


def along(place: int, count: int) -> str:
    """The class of the colour at a place on the ordered scale of `count` colours."""
    return f"r{round(7 * place / max(count - 1, 1))}"


def signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign: +3.8; None gives a dash."""
    if value is None:
        return "–"
    return ("+" if value > 0 else "") + plain(value, digits)


def span(low: float | None, high: float | None) -> str:
    """An interval in words; empty where it has no ends."""
    if low is None or high is None:
        return ""
    return f"{plain(low, 2)} to {plain(high, 2)}"


def ends(row: Row, base: str = "") -> tuple[float | None, float | None]:
    """The interval of a row: its `base`low and `base`high, None where either is not known."""
    low, high = finite(row.get(f"{base}low")), finite(row.get(f"{base}high"))
    return (None, None) if low is None or high is None else (low, high)


def excludes_zero(row: Row) -> bool:
    """Whether the 95 % interval of an effect lies on one side of zero."""
    low, high = ends(row)
    return low is not None and high is not None and low * high > 0


def amount(count: Any, one: str, many: str | None = None) -> str:
    """A count with its word: 1 model, 25 models."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def legend(items: list[tuple[str, str]]) -> Markup:
    """Classes of a dot or square and what it stands for."""
    made = (tag("li", tag("i", class_=class_), f" {said}") for class_, said in items)
    return tag("ul", *made, class_="legend")


def both(draw: Callable[..., Markup | None], answer: Row) -> Markup | None:
    """A drawing for wide and one for narrow screens; the style sheet shows one of them."""
    wide, slim = draw(answer, roomy=True), draw(answer, roomy=False)
    if wide is None or slim is None:
        return None
    return join([tag("div", wide, class_="roomy"), tag("div", slim, class_="slim")])


def figure(caption: str, *inside: Markup | None) -> Markup:
    """Drawings and what is to be seen in them."""
    said = caption.replace(" %", "\N{NO-BREAK SPACE}%")
    return tag("figure", *inside, tag("figcaption", said))
