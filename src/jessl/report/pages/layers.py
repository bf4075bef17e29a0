"""How well the class can be read layer by layer, by the probes trained beside the encoder."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record
from jessl.report.charts.curves import Series, line_panel
from jessl.report.charts.layers import LEFT, LayerBar, layer_bars
from jessl.report.formatting import finite, format_percent, format_points, format_value
from jessl.report.model import RunData
from jessl.report.pages.content import Cell, Table, TableColumn, TableRow
from jessl.report.pages.training import MEASURED_ON, curve_points, where_measured

_TOP1, _TOP5 = "accuracy/online_top1/", "accuracy/online_top5/"
_LAST = "projector"


@dataclass(frozen=True)
class LayerAccuracies:
    """Probes of the layers of a run, from the encoder to the end of its projector.

    Attributes:
        run: the run that they belong to.
        split: what all of them were tested on.
        when: the last evaluation in words: `epoch 6`, or `step 36` where epochs are missing.
        layers: their last accuracies, in order; at least one has a top-1 accuracy.
        curves: name of the layer -> records of its top-1 accuracy by step.
    """

    run: RunData
    split: str
    when: str
    layers: list[LayerBar]
    curves: dict[str, list[Record]]

    @property
    def best(self) -> list[str]:
        """Names of the layers with the highest top-1 accuracy."""
        return [layer.name for layer in self.layers if layer.best]

    @property
    def has_top5(self) -> bool:
        """Whether any layer has a top-5 accuracy."""
        return any(layer.top5 is not None for layer in self.layers)


def layer_accuracies(run: RunData) -> LayerAccuracies | None:
    """What the probes of the layers measured; None without a finite top-1 accuracy of any layer.

    Where a run was evaluated on both splits, held-out images count.
    """
    names = dict.fromkeys(
        r.name.removeprefix(_TOP1) for r in run.records if r.name.startswith(_TOP1)
    )
    for split in (HELD_OUT, PRETRAIN_SAMPLE):
        curves = {name: run.curve(_TOP1 + name, split) for name in sorted(names, key=_depth)}
        curves = {name: records for name, records in curves.items() if records}
        known = [r for records in curves.values() for r in records if finite(r.value) is not None]
        if known:
            end = max(known, key=lambda r: r.step or 0)
            when = f"step {end.step}" if end.epoch is None else f"epoch {format_value(end.epoch)}"
            return LayerAccuracies(run, split, when, _bars(run, curves, split, end.step), curves)
    return None


def layer_panels(accuracies: LayerAccuracies) -> list[Markup | None]:
    """Bars of the last evaluation, and a line a layer over training."""
    where = MEASURED_ON[accuracies.split]
    bars = layer_bars(f"accuracy, {where}, {accuracies.when}", accuracies.layers)
    by_epoch = all(r.epoch is not None for curve in accuracies.curves.values() for r in curve)
    lines = [
        Series(
            layer.name,
            layer.name,
            layer.colour,
            curve_points(accuracies.curves[layer.name], by_epoch=by_epoch, percents=True),
        )
        for layer in accuracies.layers
    ]
    curves = line_panel(
        f"top-1 accuracy, {where}, %",
        lines,
        "epoch" if by_epoch else "step",
        "layer",
        y_log=False,
        label_width=LEFT - 8,
        noun="layers",
    )
    return [bars, curves]


def layer_table(accuracies: LayerAccuracies) -> Table:
    """The numbers of the bars: a row a layer."""
    columns = [TableColumn("Layer", is_text=True), TableColumn("Top-1")]
    columns += [TableColumn("Top-5")] if accuracies.has_top5 else []
    rows = []
    for layer in accuracies.layers:
        values = [layer.top1, layer.top5][: len(columns) - 1]
        cells = [Cell(format_percent(value), str(value or "")) for value in values]
        rows.append(TableRow([Cell(layer.name, layer.name), *cells]))
    return Table(columns, rows)


def layer_caption(accuracies: LayerAccuracies) -> str:
    """What the two charts mean, and what they show of this run."""
    bars = (
        "Filled bars are top-1 accuracies, outlines top-5 (the class is among the five "
        "likeliest); ★ marks the highest top-1. "
        if accuracies.has_top5
        else "Bars are top-1 accuracies; ★ marks the highest. "
    )
    caption = (
        "How well a linear classifier reads the class from each layer, from the encoder's output "
        f"(backbone) to the end of the projector, which is nearest to the loss. {bars}"
        "Accuracy usually falls towards the end of the projector. This is why the projector is "
        "discarded after pretraining (guillotine regularization, Bordes et al. 2022, arXiv "
        f"2206.13378). {_of_this_run(accuracies)}"
        f"{where_measured('the accuracy of the layers', [accuracies.split])} "
        "The classifiers are trained beside the encoder, on the first view of each training image"
    )
    # classifiers tested on training images have learned the very labels that they are tested on
    is_held_out = accuracies.split == HELD_OUT
    caption += "." if is_held_out else ", the images of the sample and their labels included."
    records = accuracies.run.records
    if any(r.name == "accuracy/linear" and r.split == accuracies.split for r in records):
        caption += (
            " The linear accuracy among the training curves differs: its probe is fitted anew at "
            "each evaluation, to half of the sample."
        )
    return caption


def _bars(
    run: RunData, curves: dict[str, list[Record]], split: str, step: int | None
) -> list[LayerBar]:
    """The accuracies at one step; colours run along the colour scale with the depth."""
    top1 = {name: _at(run.curve(_TOP1 + name, split), step) for name in curves}
    highest = max(value for value in top1.values() if value is not None)
    last = max(len(top1) - 1, 1)
    return [
        LayerBar(
            name,
            value,
            _at(run.curve(_TOP5 + name, split), step),
            value == highest,
            f"r{round(i / last * 7)}",
        )
        for i, (name, value) in enumerate(top1.items())
    ]


def _of_this_run(accuracies: LayerAccuracies) -> str:
    """What the end of the projector loses; empty where nothing can be compared."""
    known = {layer.name: layer.top1 for layer in accuracies.layers if layer.top1 is not None}
    best = accuracies.best
    if _LAST not in known or len(known) < 2:
        return ""
    if _LAST in best:
        return "In this run the end of the projector is not below any layer. "
    lost = format_points(known[best[0]] - known[_LAST])
    return f"In this run the end of the projector is {lost} below {' and '.join(best)}. "


def _depth(name: str) -> tuple[int, int]:
    """Sort key: the backbone, the projector's layers by number, its end; others between."""
    if name in ("backbone", _LAST):
        return (0 if name == "backbone" else 2, 0)
    numbered = re.fullmatch(rf"{_LAST}\.([0-9]{{1,9}})", name)
    return (1, int(numbered[1]) if numbered else 0)


def _at(records: list[Record], step: int | None) -> float | None:
    return next((finite(r.value) for r in records if r.step == step), None)
