"""Every table of the analysis with every row, folded."""

from __future__ import annotations

from jessl.report.formatting import count, finite, format_interval, format_number, with_minus
from jessl.report.json_values import mapping, mappings, word
from jessl.report.pages.content import Block, Cell, Fold, Folded, Table, TableColumn, TableRow
from jessl.zoo.page.answer import Row
from jessl.zoo.page.labels import WORDS, in_words

_P_DIGITS = 2


def folded_tables(tables: Row) -> list[Block]:
    """The tables of a section, each behind its name."""
    folds = []
    for name, content in tables.items():
        table = mapping(content)
        if rows := mappings(table.get("rows")):
            summary = f"{word(table, 'about')} ({count(len(rows), 'row')})"
            folds.append(Fold(summary, [_table(rows)], in_words(name)))
    return [Folded(folds)] if folds else []


def _table(rows: list[Row]) -> Table:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    keys = [k for k in keys if any(row.get(k) not in (None, "", [], {}) for row in rows)]
    intervals = {k for k in keys if k.endswith("low") and _high(k) in keys}
    keys = [k for k in keys if k not in {_high(low) for low in intervals}]
    columns = []
    for key in keys:
        title = in_words(key)
        if key in intervals:
            title = f"{in_words(key.removesuffix('low'))} 95 %".strip()
        is_text = any(isinstance(row.get(key), str | list | dict) for row in rows)
        columns.append(TableColumn(title, is_text))
    body = [
        TableRow(
            [_cell(row, key, key in intervals) for key in keys], run=word(row, "model") or None
        )
        for row in rows
    ]
    return Table(columns, body)


def _high(low: str) -> str:
    return low.removesuffix("low") + "high"


def _cell(row: Row, key: str, is_interval: bool) -> Cell:
    value = row.get(key)
    number = finite(value)
    sort = _flat(value) if number is None else f"{number:.6g}"
    if is_interval:
        return Cell(format_interval(number, finite(row.get(_high(key)))) or "–", sort)
    is_p = key == "p" or key.endswith(("_p", "p_permuted"))
    return Cell(_written(value, is_p=is_p), sort)


def _written(value: object, *, is_p: bool) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return with_minus(str(value))
    number = finite(value)
    if number is not None:
        if is_p and 0 < abs(number) < 1e-3:
            return with_minus(f"{number:.1e}")
        return format_number(number, _P_DIGITS if is_p else 4)
    first, minus, second = _flat(value).partition(" - ")
    return (WORDS.get(first, first) + minus + WORDS.get(second, second)) or "–"


def _flat(value: object) -> str:
    """Lists and dictionaries as text."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
