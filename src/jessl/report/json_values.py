"""Access to JSON that may lack any part: each function returns a value of one type."""

from __future__ import annotations

from collections.abc import Mapping

from jessl.report.formatting import finite

Json = Mapping[str, object]
Interval = tuple[float, float]


def mapping(value: object) -> Json:
    """A JSON object, empty where it is something else."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Json]:
    """The objects of a JSON list, without its other items."""
    return [item for item in items(value) if isinstance(item, Mapping)]


def items(value: object) -> list[object]:
    """A JSON list, empty where it is something else."""
    return list(value) if isinstance(value, list | tuple) else []


def texts(value: object) -> list[str]:
    """A JSON list as texts."""
    return [str(item) for item in items(value)]


def number(row: Json, key: str) -> float | None:
    """A finite number, None where there is none."""
    return finite(row.get(key))


def word(row: Json, key: str) -> str:
    """A text; empty where there is none."""
    value = row.get(key)
    return "" if value is None else str(value)


def interval(row: Json, base: str = "") -> Interval | None:
    """An interval from `base`low to `base`high, None unless both are known."""
    low, high = number(row, f"{base}low"), number(row, f"{base}high")
    return None if low is None or high is None else (low, high)
