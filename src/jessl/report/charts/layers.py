"""How well the class can be read layer by layer, by the probes trained beside the encoder."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record
from jessl.report.charts import curves
from jessl.report.charts.svg import Axis, Markup, fit, line, picture, tag, text, tick_labels
from jessl.report.formatting import finite, percent, points
from jessl.report.model import RunData, shown
from jessl.report.pages.sections import WHERE, judged_where

TOP1, TOP5 = "accuracy/online_top1/", "accuracy/online_top5/"
LAST = "projector"
WIDTH, TOP, LEAST_BOTTOM = curves.WIDTH, curves.TOP, curves.BOTTOM
LEFT, ROW, BAR = 92.0, 40.0, 18.0
# rows below this height would let labels touch
LEAST_ROW = 24.0


@dataclass(frozen=True)
class Layer:
    """A layer at the last judgement: accuracies in [0, 1], None where there is no number."""

    name: str
    top1: float | None
    top5: float | None


@dataclass(frozen=True)
class LayerAccuracies:
    """Probes of the layers of a run, from the encoder to the end of its projector.

    Attributes:
        run: the run that they belong to.
        split: what all of them were tested on.
        when: the last judgement in words: `epoch 6`, or `step 36` where epochs are missing.
        layers: in order; at least one of them has a top-1 accuracy.
        best: names of the layers with the highest top-1 accuracy.
        curves: name of the layer -> records of its top-1 accuracy by step.
    """

    run: RunData
    split: str
    when: str
    layers: list[Layer]
    best: list[str]
    curves: dict[str, list[Record]]


def judged(run: RunData) -> LayerAccuracies | None:
    """What the probes of the layers tell; None without a finite top-1 accuracy of any layer.

    Where a run was judged on both splits, what was held out counts.
    """
    names = dict.fromkeys(r.name.removeprefix(TOP1) for r in run.records if r.name.startswith(TOP1))
    for split in (HELD_OUT, PRETRAIN_SAMPLE):
        found = {name: run.curve(TOP1 + name, split) for name in sorted(names, key=_depth)}
        found = {name: told for name, told in found.items() if told}
        known = [r for told in found.values() for r in told if finite(r.value) is not None]
        if not known:
            continue
        end = max(known, key=lambda r: r.step or 0)
        layers = [
            Layer(name, *(_at(run.curve(head + name, split), end.step) for head in (TOP1, TOP5)))
            for name in found
        ]
        high = max(layer.top1 for layer in layers if layer.top1 is not None)
        return LayerAccuracies(
            run=run,
            split=split,
            when=f"step {end.step}" if end.epoch is None else f"epoch {shown(end.epoch)}",
            layers=layers,
            best=[layer.name for layer in layers if layer.top1 == high],
            curves=found,
        )
    return None


def bars(told: LayerAccuracies) -> Markup:
    """Top-1 (filled) and top-5 accuracy (outline) of every layer at the last judgement."""
    has_top5 = any(layer.top5 is not None for layer in told.layers)
    right = 276.0 if has_top5 else 340.0
    ends = {"top-1": WIDTH - (70.0 if has_top5 else 4.0)} | (
        {"top-5": WIDTH - 4.0} if has_top5 else {}
    )
    row = min(ROW, max(LEAST_ROW, (LEAST_BOTTOM - TOP) / len(told.layers)))
    bottom = max(LEAST_BOTTOM, TOP + row * len(told.layers))
    axis = Axis(0.0, 1.0, LEFT, right)
    title = f"accuracy, {WHERE[told.split]}, {told.when}"
    parts = [text(0, 16, fit(title, WIDTH), "strong")]
    parts += [text(x, TOP - 12, head, "end tick") for head, x in ends.items()]
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    for tick, label in zip(ticks, tick_labels([100 * t for t in ticks]), strict=True):
        parts.append(line(axis(tick), TOP - 4, axis(tick), bottom, "rule"))
        parts.append(text(axis(tick), bottom + 18, label, "mid tick"))
    parts.append(line(LEFT, TOP - 4, LEFT, bottom, "base"))
    parts.append(text((LEFT + right) / 2, bottom + 38, "accuracy, %", "mid axis"))
    # few layers stand in the middle of the height that the panel beside has
    start = (TOP + bottom - row * len(told.layers)) / 2
    paint = colours(told)
    for place, layer in enumerate(told.layers):
        middle = start + row * (place + 0.5)
        parts.append(_row(told, layer, paint[layer.name], axis, middle, ends))
    says = f"{title}, {len(told.layers)} layers"
    return tag("div", picture(WIDTH, bottom + 46, says, *parts), class_="panel")


def over_training(told: LayerAccuracies) -> Markup | None:
    """A panel of the top-1 accuracy by epoch, one line a layer."""
    by_epoch = all(r.epoch is not None for found in told.curves.values() for r in found)
    paint = colours(told)
    lines = [
        curves.Series(
            name, name, paint[name], curves.curve_points(found, by_epoch=by_epoch, percents=True)
        )
        for name, found in told.curves.items()
    ]
    return curves.panel(
        f"top-1 accuracy, {WHERE[told.split]}, %",
        lines,
        "epoch" if by_epoch else "step",
        "layer",
        y_log=False,
        room=LEFT - 8,
        counted="layers",
    )


def caption(told: LayerAccuracies) -> str:
    """What the two pictures mean, and what they show of this run."""
    has_top5 = any(layer.top5 is not None for layer in told.layers)
    said = (
        "How well a linear classifier reads the class from each layer, from the encoder's output "
        "(backbone) to the end of the projector, which is nearest to the loss. "
    )
    said += (
        "Filled bars are top-1 accuracies, outlines top-5 (the class is among the five "
        "likeliest); ★ marks the highest top-1. "
        if has_top5
        else "Bars are top-1 accuracies; ★ marks the highest. "
    )
    said += (
        "Accuracy usually falls towards the end of the projector, which is why the projector is "
        "thrown away after pretraining (guillotine regularization, Bordes et al. 2022, arXiv "
        f"2206.13378). {_of_this_run(told)}"
    )
    said += judged_where("the accuracy of the layers", [told.split])
    said += " The classifiers are trained beside the encoder, on the first view of each "
    # of images that are trained on they have learnt the very labels that they are tested on
    said += "training image" + (
        "." if told.split == HELD_OUT else ", the images of the sample and their labels included."
    )
    if any(r.name == "accuracy/linear" and r.split == told.split for r in told.run.records):
        said += (
            " The linear accuracy of the training curves is another: its probe is fitted anew at "
            "each judgement, to half of the sample."
        )
    return said


def colours(told: LayerAccuracies) -> dict[str, str]:
    """Layer -> class of its colour, along the colour scale with its depth."""
    last = max(len(told.layers) - 1, 1)
    return {layer.name: f"r{round(i / last * 7)}" for i, layer in enumerate(told.layers)}


def _of_this_run(told: LayerAccuracies) -> str:
    """What the end of the projector loses; empty where nothing can be compared."""
    known = {layer.name: layer.top1 for layer in told.layers if layer.top1 is not None}
    if LAST not in known or len(known) < 2:
        return ""
    if LAST in told.best:
        return "In this run the end of the projector is not below any layer. "
    lost = points((known[told.best[0]] or 0.0) - (known[LAST] or 0.0))
    return f"In this run the end of the projector is {lost} below {' and '.join(told.best)}. "


def _row(
    told: LayerAccuracies,
    layer: Layer,
    colour: str,
    axis: Axis,
    middle: float,
    ends: dict[str, float],
) -> Markup:
    values = {"top-1": layer.top1, "top-5": layer.top5}
    known = {head: value for head, value in values.items() if value is not None}
    tip = f"{layer.name}: " + ", ".join(f"{head} {percent(v)}" for head, v in known.items())
    is_best = layer.name in told.best
    shape: dict[str, str | float] = {"y": middle - BAR / 2, "height": BAR, "x": axis(0)}
    parts = [
        text(LEFT - 8, middle + 4, fit(layer.name, LEFT - 8), "end number" if is_best else "end")
    ]
    for head, class_ in (("top-5", "edge"), ("top-1", "fill")):
        if head in known:
            width = axis(known[head]) - axis(0)
            parts.append(tag("rect", **shape, width=width, class_=f"{colour} {class_}"))
    for head, x in ends.items():
        star = "★ " if is_best and head == "top-1" else ""
        parts.append(text(x, middle + 4, star + percent(values[head]), "end number"))
    return tag("g", *parts, class_="hot", data_run=layer.name, data_tip=tip)


def _depth(name: str) -> tuple[int, int]:
    """Sort key: the backbone, the projector's layers by number, its end; others between."""
    if name in ("backbone", LAST):
        return (0 if name == "backbone" else 2, 0)
    numbered = re.fullmatch(rf"{LAST}\.([0-9]{{1,9}})", name)
    return (1, int(numbered[1]) if numbered else 0)


def _at(found: list[Record], step: int | None) -> float | None:
    return next((finite(r.value) for r in found if r.step == step), None)
