"""Access to the tables of an analysis, which may come from zoo.json and lack any part."""

from __future__ import annotations

from jessl.report.json_values import Json as Row
from jessl.report.json_values import mapping, mappings, number, word

__all__ = ["Row", "distinct", "known", "rows_of"]


def rows_of(answer: Row, section: str, table: str) -> list[Row]:
    """The rows of a table; none where it or its section is missing."""
    tables = mapping(mapping(mapping(answer.get("sections")).get(section)).get("tables"))
    return mappings(mapping(tables.get(table)).get("rows"))


def known(rows: list[Row], key: str) -> list[tuple[Row, float]]:
    """The rows that have a finite number, with it."""
    return [(row, value) for row in rows if (value := number(row, key)) is not None]


def distinct(rows: list[Row], key: str) -> list[str]:
    """The texts in a column, in the order of the rows."""
    return list(dict.fromkeys(word(row, key) for row in rows))
