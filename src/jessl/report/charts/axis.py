"""Axes of charts: from numbers to px, round ticks, and their grid lines and labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from jessl.report.charts.svg import line, text
from jessl.report.formatting import with_minus


@dataclass(frozen=True)
class Axis:
    """A map from numbers to px: low -> start, high -> end; log: by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        start: float,
        end: float,
        *,
        log: bool = False,
        pad: float = 0.05,
    ) -> Axis:
        """An axis over finite `values` (positive where log) with a margin of `pad` at both ends."""
        known = [math.log10(v) if log else v for v in values]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        if high - low < 1e-12 * max(1.0, abs(high)):
            margin = 0.5 if log else max(abs(high) * 0.05, 0.5e-3)
            low, high = low - margin, high + margin
        low, high = low - pad * (high - low), high + pad * (high - low)
        return cls(10**low if log else low, 10**high if log else high, start, end, log)

    def __call__(self, value: float) -> float:
        """The position of a number, px."""
        if self.log:
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    @property
    def middle(self) -> float:
        """The position halfway along the axis, px."""
        return (self.start + self.end) / 2

    def clip(self, value: float) -> float:
        """The number, or the end of the axis that it lies beyond."""
        return min(max(value, self.low), self.high)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers on the axis, about as many as requested."""
        return self._log_ticks(about) if self.log else self._linear_ticks(about)

    def scale(self) -> str:
        """The map as text, from which the page's script reads numbers back from positions."""
        kind = "log" if self.log else "lin"
        return f"{kind} {self.low:.8g} {self.high:.8g} {self.start:g} {self.end:g}"

    def _linear_ticks(self, about: int) -> list[float]:
        rough = (self.high - self.low) / max(about, 1)
        unit = 10.0 ** math.floor(math.log10(rough))
        step = min((unit * m for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _log_ticks(self, about: int) -> list[float]:
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        if last - first >= 2:
            step = max(1, math.ceil((last - first) / about))
            return [10.0**e for e in range(first, last + 1, step)]
        decades = range(first - 1, last + 1)
        fine = [m * 10.0**e for e in decades for m in (1, 2, 5)]
        return [t for t in fine if self.low <= t <= self.high]


def grid_below(
    axis: Axis, top: float, bottom: float, *, about: int, title: str = ""
) -> list[Markup]:
    """Vertical lines from top to bottom px, with their numbers and the title."""
    ticks = axis.ticks(about)
    labels = tick_labels(ticks, log=axis.log)
    parts = [line(axis(t), top, axis(t), bottom, "rule") for t in ticks]
    parts += [
        text(axis(t), bottom + 16, label, "mid tick")
        for t, label in zip(ticks, labels, strict=True)
    ]
    if title:
        parts.append(text(axis.middle, bottom + 36, title, "mid axis"))
    return parts


def grid_left(axis: Axis, left: float, right: float, *, about: int) -> list[Markup]:
    """Horizontal lines from left to right px, with their numbers."""
    ticks = axis.ticks(about)
    labels = tick_labels(ticks, log=axis.log)
    parts = [line(left, axis(t), right, axis(t), "rule") for t in ticks]
    return parts + [
        text(left - 8, axis(t) + 4, label, "end tick")
        for t, label in zip(ticks, labels, strict=True)
    ]


def tick_labels(ticks: list[float], *, log: bool = False) -> list[str]:
    """Ticks as text with the same number of decimals; far powers of ten as 10 to a power."""
    if log:
        return [_power(t) for t in ticks]
    steps = [abs(b - a) for a, b in pairwise(ticks)]
    step = min(steps, default=abs(ticks[0]) if ticks else 1.0) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step * 10**decimals, 6) % 1:
        decimals += 1
    return [with_minus(f"{t:.{decimals}f}") for t in ticks]


def _power(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    front = round(value / 10.0**exponent)
    return f"10{digits}" if front == 1 else f"{front}·10{digits}"
