"""How numbers are written for readers, and the means behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable


def finite(value: object) -> float | None:
    """`value` as a float when it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the known values, None without any."""
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def standard_deviation(values: Iterable[float | None]) -> float | None:
    """Standard deviation (divided by n - 1) of the known values, None below two of them."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return None
    middle = math.fsum(known) / len(known)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in known) / (len(known) - 1))


def value_order(value: object) -> tuple[int, float, str]:
    """Sort key: numbers by size, then everything else by its text."""
    number = finite(value)
    return (1, 0.0, str(value)) if number is None else (0, number, "")


def format_value(value: object) -> str:
    """A hyperparameter's value: 4.0 is 4, 0.0001 is 0.0001, None is a dash."""
    if value is None:
        return "–"
    number = finite(value)
    if number is None:
        return str(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e9 else f"{number:g}"


def format_number(value: float | None, digits: int = 3) -> str:
    """A number with at least `digits` significant digits, without an exponent where possible.

    None is a dash.
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 6:
        return with_minus(f"{value:.{digits - 1}e}")
    return with_minus(f"{value:.{max(0, digits - 1 - size)}f}")


def format_signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign: +3.8; None is a dash."""
    sign = "+" if value is not None and value > 0 else ""
    return sign + format_number(value, digits)


def format_fixed(value: float, decimals: int = 1) -> str:
    """A number with a fixed number of decimals and without a negative zero."""
    text = f"{value:.{decimals}f}"
    return with_minus(text.lstrip("-") if float(text) == 0 else text)


def format_with_sd(value: float | None, sd: float | None) -> str:
    """A number and its standard deviation, both with the decimals of the number: 41.7 ± 0.8."""
    text = format_number(value)
    if sd is None or "e" in text:
        return text
    return f"{text} ± {sd:.{len(text.partition('.')[2])}f}"


def format_percent(value: float | None, decimals: int = 1) -> str:
    """A fraction as percent; None is a dash."""
    return "–" if value is None else with_minus(f"{100 * value:.{decimals}f} %")


def format_points(value: float | None) -> str:
    """A difference of two fractions in percentage points; None is a dash."""
    return "–" if value is None else with_minus(f"{100 * value:.1f} points")


def format_interval(
    low: float | None, high: float | None, write: Callable[[float], str] = format_number
) -> str:
    """An interval: 2.1 to 3.4; the unit of a percentage stands once. Empty without both bounds."""
    if low is None or high is None:
        return ""
    return f"{write(low).removesuffix(' %')} to {write(high)}"


def format_duration(seconds: float | None) -> str:
    """A duration: 3.2 s, 4 min 10 s, 2 h 05 min; None is a dash."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def count(number: object, noun: str) -> str:
    """A number with its noun: 1 model, 25 models."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def with_minus(text: str) -> str:
    """Hyphens as minus signs."""
    return text.replace("-", "−")


def unbroken(text: str) -> str:
    """Text that keeps numbers on one line with their percent signs."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")
