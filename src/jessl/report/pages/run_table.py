"""The closing table of the page: every run with every number."""

from __future__ import annotations

from jessl.report.formatting import (
    finite,
    format_duration,
    format_interval,
    format_number,
    format_percent,
    format_value,
)
from jessl.report.model import ReportData
from jessl.report.pages.content import Cell, Table, TableColumn, TableRow
from jessl.report.run_summary import Row, columns_of, rows_of
from jessl.schema import MERGED_TITLE, Column, component_column


def run_table(report: ReportData) -> Table | None:
    """All runs; None without runs. Columns without any number are left out."""
    rows = rows_of(report)
    if not rows:
        return None
    measured = [
        column
        for column in columns_of(report)
        if any(row.get(column.name) is not None for row in rows)
    ]
    sized = {c.name for c in measured if any(row.get(f"{c.name}_d") for row in rows)}
    marked = any(row["chosen"] for row in rows)
    names = ("Run", "Chosen", "Method", "Setting") if marked else ("Run", "Method", "Setting")
    columns = [*(TableColumn(name, is_text=True) for name in names), TableColumn("Seed")]
    for column in measured:
        columns.append(TableColumn(column.title))
        if column.name in sized:
            columns.append(TableColumn("n × d"))
    columns.append(TableColumn("Time"))
    return Table(columns, [_row(row, measured, sized, marked=marked) for row in rows])


def _row(row: Row, measured: list[Column], sized: set[str], *, marked: bool) -> TableRow:
    name, method = str(row["run"]), str(row["method"])
    setting = f"{row['parameter']} {format_value(row['value'])}" if row["parameter"] else "–"
    value, seed, seconds = (finite(row[key]) for key in ("value", "seed", "seconds"))
    cells = [Cell(name, name)]
    if marked:
        cells.append(Cell("✓", "1") if row["chosen"] else Cell("", "0"))
    cells += [
        Cell(method, method),
        Cell(setting, setting if value is None else str(value)),
        Cell(format_value(row["seed"]), _key(seed)),
    ]
    for column in measured:
        cells.append(_cell(row, column))
        if column.name in sized:
            n, d = row.get(f"{column.name}_n"), row.get(f"{column.name}_d")
            cells.append(Cell(f"{format_value(n)} × {format_value(d)}", _key(finite(d))))
    cells.append(Cell(format_duration(seconds), _key(seconds)))
    return TableRow(cells, run=name, chosen=bool(row["chosen"]))


def _cell(row: Row, column: Column) -> Cell:
    """A number, corrected where it can be, its interval, and the published one below it."""
    key = column.name
    if key == component_column("approximation") and row["risk_merged"]:
        # zero by convention is not a measurement
        return Cell("–")
    write = format_percent if column.unit == "fraction" else format_number
    value, low, high, sd, corrected = (
        finite(row.get(key + end)) for end in ("", "_low", "_high", "_sd", "_debiased")
    )
    notes = []
    if sd is not None:
        percent = column.unit == "fraction"
        notes.append(f"± {format_number(100 * sd if percent else sd, 2)}")
    if interval := format_interval(low, high, write):
        notes.append(interval.removesuffix(" %"))
    if corrected is not None:
        notes.append(f"published {write(value)}")
    if key == component_column("usability") and row["risk_merged"]:
        notes.append(MERGED_TITLE)
    shown = value if corrected is None else corrected
    return Cell(write(shown), _key(shown), notes)


def _key(value: float | None) -> str:
    return "" if value is None else str(value)
