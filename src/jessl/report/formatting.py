"""Numbers for readers: finite or not, means, rank correlation, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any


def finite(value: Any) -> float | None:
    """`value` as a float when it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of what is there, None of nothing."""
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def spread(values: Iterable[float | None]) -> float | None:
    """Standard deviation (divided by n - 1) of what is there, None below two values."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return None
    middle = math.fsum(known) / len(known)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in known) / (len(known) - 1))


def average_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in range(start, end + 1):
            ranks[order[place]] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Spearman's rank correlation in [-1, 1], None below three pairs or when one side is constant.

    Raises:
        ValueError: when x and y differ in length.
    """
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same length, they have {len(x)} and {len(y)}")
    if len(x) < 3:
        return None
    a, b = average_ranks(x), average_ranks(y)
    middle = (len(x) + 1) / 2
    cross = math.fsum((p - middle) * (q - middle) for p, q in zip(a, b, strict=True))
    norm = math.sqrt(
        math.fsum((p - middle) ** 2 for p in a) * math.fsum((q - middle) ** 2 for q in b)
    )
    return cross / norm if norm else None


def value_order(value: Any) -> tuple[int, float, str]:
    """Sort key: numbers by size, then everything else by its text."""
    number = finite(value)
    return (1, 0.0, str(value)) if number is None else (0, number, "")


def plain(value: float | None, digits: int = 3) -> str:
    """A number with at least `digits` significant digits and no exponent where one can do without.

    None gives a dash.
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 6:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    return f"{value:.{max(0, digits - 1 - size)}f}".replace("-", "−")


def with_spread(value: float | None, sd: float | None) -> str:
    """A number and its standard deviation, both with the decimals of the number: 41.7 ± 0.8."""
    said = plain(value)
    if sd is None or "e" in said:
        return said
    return f"{said} ± {sd:.{len(said.partition('.')[2])}f}"


def percent(value: float | None, places: int = 1) -> str:
    """A fraction as percent; None gives a dash."""
    return "–" if value is None else f"{100 * value:.{places}f} %".replace("-", "−")


def points(value: float | None) -> str:
    """A difference of two fractions in percentage points; None gives a dash."""
    return "–" if value is None else f"{100 * value:.1f} points".replace("-", "−")


def duration(seconds: float | None) -> str:
    """Seconds as a reader says them: 3.2 s, 4 min 10 s, 2 h 05 min; None gives a dash."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
