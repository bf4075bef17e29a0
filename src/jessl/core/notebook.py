"""How results show themselves: a line as text, a table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape

Rows = Sequence[tuple[str, str]]


class Described(ABC):
    """A result with a description: `str` is one line, notebooks show a table."""

    @abstractmethod
    def describe(self) -> list[tuple[str, str]]:
        """(name, text) of what a person wants to know, the most important first."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {text}" for name, text in self.describe() if text)

    def _repr_html_(self) -> str:
        return html_table(self.describe())


def html_table(rows: Rows) -> str:
    """Rows of name and text as an HTML table."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(text)}</td></tr>"
        for name, text in rows
        if text
    )
    return f"<table>{cells}</table>"


def with_interval(value: float, low: float | None, high: float | None, digits: int = 4) -> str:
    """A number with its interval: `24.25 (24.09 to 24.41)`."""
    text = f"{value:.{digits}g}"
    return (
        text if low is None or high is None else f"{text} ({low:.{digits}g} to {high:.{digits}g})"
    )


def percent(share: float, low: float | None = None, high: float | None = None) -> str:
    """A share with its interval: `45.0 % (35.6 to 54.8)`."""
    text = f"{100 * share:.1f} %"
    return text if low is None or high is None else f"{text} ({100 * low:.1f} to {100 * high:.1f})"
