"""Words and colours that the parts of the page share."""

from __future__ import annotations

from collections.abc import Sequence

from jessl import schema
from jessl.report.formatting import format_interval, format_number
from jessl.report.json_values import Interval
from jessl.report.pages.content import LegendItem
from jessl.schema import ERROR_SETTINGS, PUBLISHED_COMPONENTS

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


def colour(outcome: str) -> str:
    """The class of a component's colour; grey for everything else."""
    return f"k{COMPONENTS.index(outcome)}" if outcome in COMPONENTS else "m7"


def scale_colour(place: int, count: int) -> str:
    """The class of the colour at a place on the ordered scale of `count` colours."""
    return f"r{round(7 * place / max(count - 1, 1))}"


def scale_legend(names: Sequence[str], shape: str = "dot") -> list[LegendItem]:
    """What the colours of the ordered scale stand for; `shape` is dot or dot square."""
    return [
        LegendItem(in_words(name), class_=f"{shape} {scale_colour(i, len(names))}")
        for i, name in enumerate(names)
    ]


def span(bounds: Interval | None) -> str:
    """An interval in words; empty where it is not known."""
    if bounds is None:
        return ""
    return format_interval(*bounds, lambda value: format_number(value, 2))
