"""How results show themselves: the answer in a sentence as text, a table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape

from jessl.core.merged_warnings import merge_warnings

Rows = Sequence[tuple[str, str]]
# the name of a row that holds a warning
WARNING = "warning:"


class Described(ABC):
    """A result with a conclusion: `str` is one sentence and warnings, notebooks show a table.

    Dataclasses among the subclasses are declared with `repr=False`: the repr is the conclusion, so
    that a dict or list of results can be read.
    """

    @property
    @abstractmethod
    def conclusion(self) -> str:
        """The answer in one sentence, with its uncertainty, without a full stop."""

    @abstractmethod
    def describe(self) -> list[tuple[str, str]]:
        """(name, text) of what a person wants to know, the most important first."""

    def __str__(self) -> str:
        warnings = [text for name, text in self.describe() if name == WARNING]
        lines = [f"{WARNING} {text}" for text in merge_warnings(("", text) for text in warnings)]
        return "\n".join([self.conclusion, *lines])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.conclusion}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.conclusion)}.</p>{html_table(self.describe())}"


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
    """A share with its interval: `45.0 % (95 %: 35.6 to 54.8)`."""
    text = f"{100 * share:.1f} %"
    if low is None or high is None:
        return text
    return f"{text} (95 %: {100 * low:.1f} to {100 * high:.1f})"


def article(word: str) -> str:
    """`A`, or `An` before a vowel and before the letters mlp."""
    return "An" if word[:1].lower() in tuple("aeiou") or word == "mlp" else "A"
