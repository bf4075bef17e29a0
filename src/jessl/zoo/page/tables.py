"""Every table of the answer with every row, folded away, and sorted by a click on a heading."""

from __future__ import annotations

from typing import Any

from jessl.report.charts.svg import Markup, tag
from jessl.report.formatting import finite, plain
from jessl.zoo.page.labels import WORDS, Row, in_words

_P_DIGITS = 2


def folded(tables: Row) -> Markup | None:
    """The tables of a section, each behind its name; None without any."""
    made = [_folded(name, held) for name, held in tables.items() if held.get("rows")]
    return tag("div", *made, class_="folds") if made else None


def _folded(name: str, held: Row) -> Markup:
    rows = held["rows"]
    count = f"{len(rows)} row" + ("" if len(rows) == 1 else "s")
    said = tag("b", in_words(name))
    summary = tag("summary", said, f": {held.get('about', '')} ({count})")
    return tag("details", summary, _table(rows))


def _table(rows: list[Row]) -> Markup:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    keys = [k for k in keys if any(row.get(k) not in (None, "", [], {}) for row in rows)]
    lows = [k for k in keys if k.endswith("low") and k.removesuffix("low") + "high" in keys]
    skipped = {low.removesuffix("low") + "high" for low in lows}
    words = {k for k in keys if any(isinstance(row.get(k), str | list | dict) for row in rows)}
    keys = [k for k in keys if k not in skipped]
    heads = []
    for key in keys:
        said = f"{in_words(key.removesuffix('low'))} 95 %".strip() if key in lows else in_words(key)
        button = tag("button", said, type="button")
        heads.append(tag("th", button, class_="word" if key in words else None))
    body = [
        tag(
            "tr",
            *(_cell(row, key, interval=key in lows, word=key in words) for key in keys),
            data_run=str(row["model"]) if row.get("model") else None,
        )
        for row in rows
    ]
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex="0")


def _cell(row: Row, key: str, *, interval: bool, word: bool) -> Markup:
    value = row.get(key)
    sort = "" if value is None else _flat(value)
    if (number := finite(value)) is not None:
        sort = f"{number:.6g}"
    if interval:
        low, high = number, finite(row.get(key.removesuffix("low") + "high"))
        said = "–" if low is None or high is None else f"{plain(low)} to {plain(high)}"
    else:
        is_p = key == "p" or key.endswith(("_p", "p_permuted"))
        said = _said(value, is_p=is_p)
    return tag("td", said, data_sort=sort, class_="word" if word else None)


def _said(value: Any, *, is_p: bool) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).replace("-", "−")
    number = finite(value)
    if number is not None:
        if is_p and 0 < abs(number) < 1e-3:
            return f"{number:.1e}".replace("-", "−")
        return plain(number, _P_DIGITS) if is_p else plain(number, 4)
    said = _flat(value)
    first, minus, second = said.partition(" - ")
    return (WORDS.get(first, first) + minus + WORDS.get(second, second)) or "–"


def _flat(value: Any) -> str:
    """Lists and dictionaries as text."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
