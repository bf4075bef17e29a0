"""What happened over training, and the spectra of singular values: small line charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record
from jessl.report.charts.curves import Points, Series, line_panel, thin, thin_log
from jessl.report.formatting import finite, format_value, value_order
from jessl.report.model import GroupData, ReportData

# below it, relative to the largest singular value, there is only rounding
FLOOR = 1e-9
# what a record of the training was measured on, for the titles of the panels
MEASURED_ON = {HELD_OUT: "held-out images", PRETRAIN_SAMPLE: "training images"}
SPREADS = ("spread/projector", "spread/backbone")
_FROM_ZERO = ("learning_rate", "images_per_second", *SPREADS)
_EVALUATED = (
    ("rankme/projector", "RankMe, projector", False),
    ("rankme/backbone", "RankMe, backbone", False),
    ("view_retrieval/backbone", "view retrieval, backbone", True),
    ("accuracy/linear", "accuracy, linear", True),
    ("accuracy/knn", "accuracy, kNN", True),
)


@dataclass(frozen=True)
class _Curve:
    """What a panel shows: name and split of its records, its title, whether they are fractions."""

    name: str
    split: str
    title: str
    percents: bool = False


def training_panels(report: ReportData, *, details: bool) -> list[Markup | None]:
    """A panel a measured quantity, in a study one a method.

    Args:
        details: losses, learning rate and speed instead of what was evaluated.
    """
    evaluated = {name for name, *_ in _EVALUATED} | set(SPREADS)
    panels = []
    for curve in _curves(report):
        if (curve.name not in evaluated) != details:
            continue
        for index, group in enumerate(report.groups):
            title = f"{group.method}: {curve.title}" if report.kind == "study" else curve.title
            panels.append(_panel(group, index, curve, title))
    return panels


def spectrum_panels(report: ReportData) -> list[Markup | None]:
    """Singular values over the largest, log-log: a panel a layer, in a study one a method."""
    panels = []
    for layer in ("projector", "backbone"):
        for index, group in enumerate(report.groups):
            title = f"{group.method}: {layer}" if report.kind == "study" else layer
            panels.append(_spectrum(group, index, f"spectrum/{layer}", title))
    return panels


def curve_points(records: Sequence[Record], *, by_epoch: bool, percents: bool = False) -> Points:
    """Values by epoch, or by step; a number that is not finite is a gap."""
    scale = 100.0 if percents else 1.0
    values = ((r, finite(r.value)) for r in records)
    return thin(
        [
            (float((r.epoch if by_epoch else r.step) or 0), None if v is None else scale * v)
            for r, v in values
        ]
    )


def evaluated_names(report: ReportData) -> str:
    """RankMe and accuracy, or which of them was measured during training; empty without any.

    The probes of the layers do not count: their section says where they were tested.
    """
    kinds = {
        record.name.partition("/")[0]
        for run in report.runs()
        for record in run.records
        if record.split in MEASURED_ON and not record.name.startswith("accuracy/online_")
    }
    names = {"rankme": "RankMe", "accuracy": "accuracy"}
    return " and ".join(name for kind, name in names.items() if kind in kinds)


def where_measured(what: str, splits: list[str]) -> str:
    """Where the numbers of the training come from, as a sentence."""
    verb = "come" if " and " in what else "comes"
    start = what[0].upper() + what[1:]
    if splits == [HELD_OUT]:
        return f"{start} during training {verb} from held-out images."
    if splits == [PRETRAIN_SAMPLE]:
        return (
            f"The data set is small: the images that {what} during training {verb} from "
            "are trained on as well."
        )
    return (
        f"{start} during training {verb} from held-out images or, where the title of a panel says "
        "training images, from images that are trained on as well."
    )


def _curves(report: ReportData) -> list[_Curve]:
    """The loss, what was evaluated on each split, and of a single run everything else."""
    curves = [_Curve("loss", "train", "loss")]
    for name, title, percents in _EVALUATED:
        for split in report.training_splits():
            end = ", %" if percents else ""
            curves.append(_Curve(name, split, f"{title}, {MEASURED_ON[split]}{end}", percents))
    if report.kind == "study":
        return [curve for curve in curves if curve.name in ("loss", "rankme/projector")]
    run = next(report.runs())
    parts = dict.fromkeys(r.name for r in run.records if r.name.startswith("loss/"))
    curves += [_Curve(name, "train", name.replace("/", ": ")) for name in parts]
    curves += [_Curve(name, "train", name.replace("/", ", ")) for name in SPREADS]
    curves.append(_Curve("learning_rate", "train", "learning rate"))
    curves.append(_Curve("images_per_second", "train", "images per second"))
    return curves


def _panel(group: GroupData, index: int, curve: _Curve, title: str) -> Markup | None:
    """A line a run by epoch (by step where epochs are missing); None without records."""
    pairs = [(run, run.curve(curve.name, curve.split)) for run in group.runs]
    pairs = [(run, records) for run, records in pairs if records]
    if not pairs:
        return None
    by_epoch = all(r.epoch is not None for _, records in pairs for r in records)
    paint = _colours(group, index)
    lines = [
        Series(
            run.name,
            format_value(run.value) if group.parameter else "",
            paint[format_value(run.value)],
            curve_points(records, by_epoch=by_epoch, percents=curve.percents),
        )
        for run, records in pairs
    ]
    x_title = "epoch" if by_epoch else "step"
    from_zero = curve.name in _FROM_ZERO
    return line_panel(title, lines, x_title, group.parameter, from_zero=from_zero)


def _spectrum(group: GroupData, index: int, name: str, title: str) -> Markup | None:
    paint = _colours(group, index)
    lines = []
    for run in group.runs:
        values = run.spectrum(name)
        if values and values[0] > 0:
            # zeros have no logarithm
            shares = [(k + 1.0, v / values[0]) for k, v in enumerate(values)]
            points = thin_log([(k, share) for k, share in shares if share > FLOOR])
            label = format_value(run.value) if group.parameter else ""
            lines.append(Series(run.name, label, paint[format_value(run.value)], points))
    x_title = "position in the spectrum"
    return line_panel(title, lines, x_title, group.parameter, x_log=True, y_log=True)


def _colours(group: GroupData, index: int) -> dict[str, str]:
    """Value of the hyperparameter -> class of its colour, light to dark with its size.

    A group with a single value keeps the colour of its method.
    """
    values = {format_value(r.value): r.value for r in group.runs}
    ordered = sorted(values.values(), key=value_order)
    if len(ordered) < 2:
        return {format_value(v): f"m{index % 8}" for v in ordered}
    last = len(ordered) - 1
    return {format_value(v): f"r{round(i / last * 7)}" for i, v in enumerate(ordered)}
