"""Accuracies of the layers of a run as bars: top-1 filled, top-5 as an outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.report.charts import curves
from jessl.report.charts.axis import Axis, grid_below
from jessl.report.charts.svg import line, panel, shorten, tag, text
from jessl.report.formatting import format_percent

WIDTH, TOP, LEAST_BOTTOM = curves.WIDTH, curves.TOP, curves.BOTTOM
LEFT, ROW, BAR = 92.0, 40.0, 18.0
# rows below this height would let labels touch
LEAST_ROW = 24.0


@dataclass(frozen=True)
class LayerBar:
    """A layer: accuracies in [0, 1] (None: no number), whether it is the best, its colour."""

    name: str
    top1: float | None
    top5: float | None
    best: bool
    colour: str


def layer_bars(title: str, layers: Sequence[LayerBar]) -> Markup:
    """A panel with a row a layer."""
    has_top5 = any(layer.top5 is not None for layer in layers)
    right = 276.0 if has_top5 else 340.0
    ends = {"top-1": WIDTH - 70.0, "top-5": WIDTH - 4.0} if has_top5 else {"top-1": WIDTH - 4.0}
    row = min(ROW, max(LEAST_ROW, (LEAST_BOTTOM - TOP) / len(layers)))
    bottom = max(LEAST_BOTTOM, TOP + row * len(layers))
    axis = Axis(0.0, 100.0, LEFT, right)
    parts = [text(0, 16, shorten(title, WIDTH), "strong")]
    parts += [text(x, TOP - 12, head, "end tick") for head, x in ends.items()]
    parts += grid_below(axis, TOP - 4, bottom, about=4, title="accuracy, %")
    parts.append(line(LEFT, TOP - 4, LEFT, bottom, "base"))
    # few layers stand in the middle of the height of the panel beside them
    start = (TOP + bottom - row * len(layers)) / 2
    for place, layer in enumerate(layers):
        parts.append(_row(layer, axis, start + row * (place + 0.5), ends))
    return panel(WIDTH, bottom + 46, f"{title}, {len(layers)} layers", *parts)


def _row(layer: LayerBar, axis: Axis, middle: float, ends: dict[str, float]) -> Markup:
    values = {"top-1": layer.top1, "top-5": layer.top5}
    known = {head: value for head, value in values.items() if value is not None}
    tip = ", ".join(f"{head} {format_percent(value)}" for head, value in known.items())
    class_ = "end number" if layer.best else "end"
    parts = [text(LEFT - 8, middle + 4, shorten(layer.name, LEFT - 8), class_)]
    for head, style in (("top-5", "edge"), ("top-1", "fill")):
        if head in known:
            parts.append(
                tag(
                    "rect",
                    x=axis(0),
                    y=middle - BAR / 2,
                    width=axis(100 * known[head]) - axis(0),
                    height=BAR,
                    class_=f"{layer.colour} {style}",
                )
            )
    for head, x in ends.items():
        star = "★ " if layer.best and head == "top-1" else ""
        parts.append(text(x, middle + 4, star + format_percent(values[head]), "end number"))
    return tag("g", *parts, class_="hot", data_run=layer.name, data_tip=f"{layer.name}: {tip}")
