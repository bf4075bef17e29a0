"""The closing table of the page: every run with every number, sorted by a click on a heading."""

from __future__ import annotations

from typing import Any

from jessl.report.charts.svg import Markup, tag
from jessl.report.formatting import duration, finite, percent, plain
from jessl.report.model import ReportData, shown
from jessl.report.run_summary import columns_of, rows_of
from jessl.schema import MERGED_TITLE


def table(report: ReportData) -> Markup | None:
    """All runs with every number; None without runs. Columns without any number are left out."""
    rows = rows_of(report)
    if not rows:
        return None
    columns = [
        (column.name, column.title, column.unit == "fraction")
        for column in columns_of(report)
        if any(row.get(column.name) is not None for row in rows)
    ]
    sized = {key for key, _, _ in columns if any(row.get(f"{key}_d") for row in rows)}
    marked = any(row["chosen"] for row in rows)
    words = ("Run", "Chosen", "Method", "Setting") if marked else ("Run", "Method", "Setting")
    heads = [*(_head(name, word=True) for name in words), _head("Seed")]
    for key, head, _ in columns:
        heads.append(_head(head))
        if key in sized:
            heads.append(_head("n × d"))
    heads.append(_head("Time"))
    body = [_row(row, columns, sized, marked=marked) for row in rows]
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex="0")


def _head(said: str, *, word: bool = False) -> Markup:
    return tag("th", tag("button", said, type="button"), class_="word" if word else None)


def _row(
    row: dict[str, Any], columns: list[tuple[str, str, bool]], sized: set[str], *, marked: bool
) -> Markup:
    setting = f"{row['parameter']} {shown(row['value'])}" if row["parameter"] else "–"
    value = finite(row["value"])
    cells = [
        tag("td", row["run"], data_sort=row["run"]),
        tag("td", row["method"], data_sort=row["method"], class_="word"),
        tag("td", setting, data_sort=setting if value is None else str(value), class_="word"),
        tag("td", "–" if row["seed"] is None else str(row["seed"]), data_sort=_key(row["seed"])),
    ]
    if marked:
        tick = ("✓", "1") if row["chosen"] else ("", "0")
        cells.insert(1, tag("td", tick[0], data_sort=tick[1], class_="word"))
    for key, _, is_fraction in columns:
        if key == "risk_approximation" and row["risk_merged"]:
            # zero by convention is no measurement
            cells.append(tag("td", "–", data_sort=""))
            continue
        small = _small(row, key, is_fraction)
        said = (percent if is_fraction else plain)(row.get(key))
        cells.append(tag("td", said, *small, data_sort=_key(row.get(key))))
        if key in sized:
            n, d = row.get(f"{key}_n"), row.get(f"{key}_d")
            cells.append(tag("td", f"{shown(n)} × {shown(d)}", data_sort=_key(finite(d))))
    cells.append(tag("td", duration(row["seconds"]), data_sort=_key(row["seconds"])))
    return tag("tr", *cells, class_="chosen" if row["chosen"] else None, data_run=row["run"])


def _small(row: dict[str, Any], key: str, is_fraction: bool) -> list[Markup]:
    """Corrected value and interval below a number; sd and interval are the corrected value's."""
    write = percent if is_fraction else plain
    low, high, sd, corrected = (
        finite(row.get(f"{key}_{part}")) for part in ("low", "high", "sd", "debiased")
    )
    found = []
    if corrected is not None or sd is not None:
        said = "" if corrected is None else f"debiased {write(corrected)}"
        found.append(said + ("" if sd is None else f" ± {plain(sd, 2)}"))
    if low is not None and high is not None:
        found.append(f"{write(low).removesuffix(' %')} to {write(high).removesuffix(' %')}")
    if key == "risk_usability" and row["risk_merged"]:
        found.append(MERGED_TITLE)
    return [tag("small", said.strip()) for said in found]


def _key(value: float | None) -> str:
    return "" if value is None else str(value)
