"""How an analysis of models is printed."""

from __future__ import annotations

from jessl.cli._command import JsonObject
from jessl.cli._output import print_lines, print_table

# rows up to which a table is printed whole, else the first _ROWS_SHOWN
_WHOLE_TABLE = 36
_ROWS_SHOWN = 12
_WIDEST_CELL = 60  # characters


def print_analysis(analysis: JsonObject) -> bool:
    """Print every section; return whether a table was shortened."""
    from jessl.core.validation import escape_control
    from jessl.zoo.page.labels import in_words

    shortened = False
    for section in analysis["sections"].values():
        print_lines("", f"{section['question'].upper()}")
        for name, table in section["tables"].items():
            rows = table["rows"]
            print_lines("", f"{in_words(name)}: {table['about']}")
            shown = rows if len(rows) <= _WHOLE_TABLE else rows[:_ROWS_SHOWN]
            print_table(*_headers_and_cells(shown))
            if len(shown) < len(rows):
                shortened = True
                print_lines(f"... and {len(rows) - len(shown)} more rows")
        for note in section["notes"]:
            print_lines(f"note: {escape_control(note)}")
    if analysis["left_out"]:
        names = " and ".join(analysis["left_out"])
        print_lines("", f"left out, xgboost is not installed (pip install 'jessl[zoo]'): {names}")
    return shortened


def _headers_and_cells(rows: list[JsonObject]) -> tuple[list[str], list[list[object]]]:
    """An interval takes one column, and so does a number with its own n or place."""
    from jessl.core.validation import escape_control
    from jessl.zoo.page.labels import in_words

    keys = [k for k in rows[0] if any(row[k] not in (None, "", [], {}) for row in rows)]
    # "rho_n" is printed in the column of "rho"
    companions = {
        f"{k}_{part}": k for k in keys for part in ("n", "place") if f"{k}_{part}" in keys
    }
    headers: list[str] = []
    columns: list[list[object]] = []
    for key in keys:
        if key in companions or key == "high" or key.endswith("_high"):
            continue
        if key == "low" or key.endswith("_low"):
            base = key.removesuffix("low")
            headers.append(f"{in_words(base)} 95 %".strip())
            columns.append([_interval(row[key], row[f"{base}high"]) for row in rows])
        elif key in companions.values():
            companion = next(k for k, of in companions.items() if of == key)
            headers.append(f"{in_words(key)} ({companion.removeprefix(key)[1:]})")
            columns.append([f"{_number(row[key])} ({row[companion]})" for row in rows])
        else:
            headers.append(in_words(key))
            is_p_value = key == "p" or key.endswith("_p")
            columns.append([_cell(row[key], is_p_value=is_p_value) for row in rows])
    headers = [escape_control(header) for header in headers]
    return headers, [list(cells) for cells in zip(*columns, strict=True)]


def _cell(value: object, *, is_p_value: bool) -> object:
    from jessl.core.validation import escape_control
    from jessl.zoo.page.labels import WORDS

    value = as_text(value)
    if isinstance(value, str):
        value = escape_control(value)
        if len(value) > _WIDEST_CELL:
            return value[: _WIDEST_CELL - 3] + "..."
        first, minus, second = value.partition(" - ")
        return WORDS.get(first, first) + minus + WORDS.get(second, second)
    return f"{value:.1e}" if is_p_value and value is not None else value


def as_text(value: object) -> object:
    """Lists and dictionaries as text, None where they are empty; other values unchanged."""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items()) or None
    return (", ".join(map(str, value)) or None) if isinstance(value, list) else value


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{_number(low)} to {_number(high)}"
