"""What happened over training, and the spectra of singular values: small line charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record
from jessl.report.charts.curves import Points, Series, line_panel, thin, thin_log
from jessl.report.formatting import finite, format_value, value_order
from jessl.report.model import GroupData, ReportData, RunData
from jessl.report.pages.content import Table
from jessl.report.pages.points_table import points_table
from jessl.schema import VIEW_RETRIEVAL

# below it, relative to the largest singular value, there is only rounding
FLOOR = 1e-9
# what a record of the training was measured on, for the titles of the panels
MEASURED_ON = {HELD_OUT: "held-out images", PRETRAIN_SAMPLE: "training images"}
SPREADS = ("spread/projector", "spread/backbone")
_FROM_ZERO = ("learning_rate", "images_per_second", *SPREADS)
# in the order of what decides
_EVALUATED = (
    (VIEW_RETRIEVAL, "view retrieval", True),
    ("rankme/projector", "RankMe, projector", False),
    ("rankme/backbone", "RankMe, backbone", False),
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
        details: losses, spread, learning rate and speed instead of what was evaluated.
    """
    panels = []
    for curve in _curves(report, details=details):
        for index, group in enumerate(report.groups):
            title = f"{group.method}: {curve.title}" if report.kind == "study" else curve.title
            panels.append(_panel(group, index, curve, title))
    return panels


def training_table(report: ReportData, *, details: bool) -> Table | None:
    """The numbers of `training_panels`: a row a line; None without any."""
    rows = []
    by_epoch = True
    for curve in _curves(report, details=details):
        for group in report.groups:
            for run, records in _recorded(group, curve):
                name = curve.title if report.kind == "run" else f"{run.name}: {curve.title}"
                by_epoch = by_epoch and _has_epochs(records)
                points = curve_points(records, by_epoch=by_epoch, percents=curve.percents)
                rows.append((name, points))
    return points_table(rows, "Curve", "epoch" if by_epoch else "step")


def spectrum_table(report: ReportData) -> Table | None:
    """The numbers of `spectrum_panels`: a row a line; None without any."""
    rows: list[tuple[str, Points]] = []
    for layer in ("projector", "backbone"):
        for run in report.runs():
            name = layer if report.kind == "run" else f"{run.name}: {layer}"
            values = run.spectrum(f"spectrum/{layer}")
            if values and values[0] > 0:
                rows.append((name, [(k + 1.0, v / values[0]) for k, v in enumerate(values)]))
    return points_table(rows, "Layer", "position", log=True)


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
    """What was measured during training, such as RankMe and accuracy; empty without any.

    The probes of the layers do not count: their section says where they were tested.
    """
    kinds = {
        record.name.partition("/")[0]
        for run in report.runs()
        for record in run.records
        if record.split in MEASURED_ON and not record.name.startswith("accuracy/online_")
    }
    names = {"view_retrieval": "view retrieval", "rankme": "RankMe", "accuracy": "accuracy"}
    if report.kind == "study":
        drawn = {curve.name.partition("/")[0] for curve in _curves(report, details=False)}
        kinds &= drawn
    *first, last = [name for kind, name in names.items() if kind in kinds] or [""]
    return f"{', '.join(first)} and {last}" if first else last


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


def _curves(report: ReportData, *, details: bool) -> list[_Curve]:
    """What was evaluated on each split, or the details of the training; of a study the main ones.

    Those of a study are the criterion, where it was measured, and RankMe, which is published.
    """
    evaluated = {name for name, *_ in _EVALUATED}
    return [curve for curve in _every_curve(report) if (curve.name not in evaluated) == details]


def _every_curve(report: ReportData) -> list[_Curve]:
    curves = [_Curve("loss", "train", "loss")]
    for name, title, percents in _EVALUATED:
        for split in report.training_splits():
            end = ", %" if percents else ""
            curves.append(_Curve(name, split, f"{title}, {MEASURED_ON[split]}{end}", percents))
    if report.kind == "study":
        shown = ("loss", "rankme/projector", report.criterion)
        return [curve for curve in curves if curve.name in shown]
    run = next(report.runs())
    parts = dict.fromkeys(r.name for r in run.records if r.name.startswith("loss/"))
    curves += [_Curve(name, "train", name.replace("/", ": ")) for name in parts]
    curves += [_Curve(name, "train", name.replace("/", ", ")) for name in SPREADS]
    curves.append(_Curve("learning_rate", "train", "learning rate"))
    curves.append(_Curve("images_per_second", "train", "images per second"))
    return curves


def _panel(group: GroupData, index: int, curve: _Curve, title: str) -> Markup | None:
    """A line a run by epoch (by step where epochs are missing); None without records."""
    pairs = _recorded(group, curve)
    if not pairs:
        return None
    by_epoch = all(_has_epochs(records) for _, records in pairs)
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


def _recorded(group: GroupData, curve: _Curve) -> list[tuple[RunData, list[Record]]]:
    """The runs of a group that have records of a curve."""
    pairs = [(run, run.curve(curve.name, curve.split)) for run in group.runs]
    return [(run, records) for run, records in pairs if records]


def _has_epochs(records: Sequence[Record]) -> bool:
    return all(record.epoch is not None for record in records)


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
