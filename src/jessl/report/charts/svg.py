"""Small pictures in SVG: markup that escapes by default, axes, and their ticks.

Hand-made rather than plotly.js, which was measured: plotly adds 4.8 MB to the file and 1.9 s to
its opening (14 small line charts, 2 cores), asks for scripts that the page's policy forbids, and
cannot follow a dark page without drawing anew.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


class Markup(str):
    """Text that is already markup; every other string is escaped when it enters an element."""


_EMPTY = {"line", "circle", "rect", "path", "polygon", "meta", "img", "br"}


def tag(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """One element. Children that are no `Markup` are escaped; attributes always are.

    `class_` becomes class, other underscores hyphens; attributes that are None are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[str | None], between: str = "") -> Markup:
    """Children one after the other, escaped where they are no markup; None is left out."""
    return Markup(
        between.join(
            child if isinstance(child, Markup) else html.escape(child)
            for child in children
            if child is not None
        )
    )


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return f"{value:.1f}".removesuffix(".0")


def picture(width: float, height: float, says: str, *children: str | None) -> Markup:
    """A whole drawing of width x height px; `says` describes it to those who do not see it."""
    return tag(
        "svg",
        *children,
        class_="figure",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=says,
    )


def text(
    x: float, y: float, said: str, class_: str = "", **attributes: str | float | None
) -> Markup:
    """Text whose baseline is at y px; `class_` may hold mid or end for its anchor."""
    return tag("text", said, x=x, y=y, class_=class_ or None, **attributes)


def fit(said: str, room: float) -> str:
    """`said`, cut with an ellipsis to about `room` px; tables and tips hold the whole."""
    # 7.3 px a letter is the widest of the system fonts at the size of the labels
    most = max(int(room / 7.3), 3)
    return said if len(said) <= most else said[: most - 1] + "…"


def fits(said: str, room: float) -> bool:
    """Whether `fit` leaves all of `said`."""
    return fit(said, room) == said


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line, px."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def mark(
    shape: int, x: float, y: float, size: float = 5.0, **attributes: str | float | None
) -> Markup:
    """A mark of about the area of a circle of radius `size` px; shapes repeat after four."""
    kind = shape % 4
    if kind == 0:
        return tag("circle", cx=x, cy=y, r=size, **attributes)
    if kind == 1:
        side = size * 1.77
        return tag("rect", x=x - side / 2, y=y - side / 2, width=side, height=side, **attributes)
    high = size * 1.35
    corners = (
        [(0, -high), (high, high * 0.75), (-high, high * 0.75)]
        if kind == 2
        else [(0, -high), (high, 0), (0, high), (-high, 0)]
    )
    joined = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return tag("polygon", points=joined, **attributes)


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
        """An axis over finite `values` (positive where log) with room of `pad` at both ends."""
        known = [math.log10(v) if log else v for v in values]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        if high - low < 1e-12 * max(1.0, abs(high)):
            room = 0.5 if log else max(abs(high) * 0.05, 0.5e-3)
            low, high = low - room, high + room
        low, high = low - pad * (high - low), high + pad * (high - low)
        return cls(10**low if log else low, 10**high if log else high, start, end, log)

    def __call__(self, value: float) -> float:
        """The place of a number, px."""
        if self.log:
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers on the axis, about as many as asked for."""
        return self._log_ticks(about) if self.log else self._linear_ticks(about)

    def scale(self) -> str:
        """The map as text, from which the page's script reads numbers back from places."""
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


def tick_labels(ticks: list[float], *, log: bool = False) -> list[str]:
    """Ticks as text with the same number of decimals; far powers of ten as 10 to a power."""
    if log:
        return [_power(t) for t in ticks]
    steps = [abs(b - a) for a, b in pairwise(ticks)]
    step = min(steps, default=abs(ticks[0]) if ticks else 1.0) or 1.0
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step * 10**places, 6) % 1:
        places += 1
    return [f"{t:.{places}f}".replace("-", "−") for t in ticks]


def spaced(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as can be to `wanted` (px), at least `gap` apart, within low and high."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    last = low - gap
    for i in order:
        last = placed[i] = max(wanted[i], last + gap)
    limit = high
    for i in reversed(order):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return placed


def _power(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    front = round(value / 10.0**exponent)
    return f"10{digits}" if front == 1 else f"{front}·10{digits}"
