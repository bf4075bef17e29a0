"""SVG elements: escaped markup, text that fits, marks, and drawings in two sizes.

Written by hand rather than with plotly.js, which was measured: plotly adds 4.8 MB to the file and
1.9 s to its opening (14 small line charts, 2 cores), asks for scripts that the page's policy
forbids, and cannot follow a dark page without drawing again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

_EMPTY = {"line", "circle", "rect", "path", "polygon"}


@dataclass(frozen=True)
class Size:
    """The width of a drawing, px, and whether it is the one for wide screens."""

    width: float
    wide: bool


WIDE, NARROW = Size(880.0, True), Size(372.0, False)


def in_both_sizes(draw: Callable[[Size], Markup | None]) -> Markup | None:
    """A drawing for wide and one for narrow screens; the style sheet shows one of them."""
    wide, narrow = draw(WIDE), draw(NARROW)
    if wide is None or narrow is None:
        return None
    return tag("div", wide, class_="roomy") + tag("div", narrow, class_="slim")


def tag(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """One element. Children that are not `Markup` are escaped; attributes always are.

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


def join(children: Iterable[str | None]) -> Markup:
    """Children one after the other, escaped unless they are markup; None is left out."""
    return Markup("").join(child for child in children if child is not None)


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return escape(str(value))
    return f"{value:.1f}".removesuffix(".0")


def drawing(width: float, height: float, description: str, *children: str | None) -> Markup:
    """A whole drawing of width x height px; `description` is for those who do not see it."""
    return tag(
        "svg",
        *children,
        class_="figure",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=description,
    )


def panel(
    width: float, height: float, description: str, *children: str | None, **data: str | None
) -> Markup:
    """A drawing that shares a grid with others; `data` become attributes of its frame."""
    svg = drawing(width, height, description, *children)
    return tag("div", svg, class_="panel", **data)


def text(
    x: float, y: float, content: str, class_: str = "", **attributes: str | float | None
) -> Markup:
    """Text whose baseline is at y px; `class_` may hold mid or end for its anchor."""
    return tag("text", content, x=x, y=y, class_=class_ or None, **attributes)


def shorten(content: str, width: float) -> str:
    """Text, cut with an ellipsis to about `width` px; tables and tips hold all of it."""
    # 7.3 px a letter is the widest of the system fonts at the size of the labels
    most = max(int(width / 7.3), 3)
    return content if len(content) <= most else content[: most - 1] + "…"


def fits(content: str, width: float) -> bool:
    """Whether `shorten` leaves all of the text."""
    return shorten(content, width) == content


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line, px."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polygon(corners: Iterable[tuple[float, float]], **attributes: str | None) -> Markup:
    """A closed shape through its corners, px."""
    return tag("polygon", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in corners), **attributes)


def mark(shape: int, x: float, y: float, size: float = 5.0, **attributes: str | None) -> Markup:
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
    return polygon(((x + dx, y + dy) for dx, dy in corners), **attributes)


def spread_apart(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near as possible to `wanted` (px), at least `gap` apart, in low to high."""
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
