"""The page of a run or a study: sections in order, each with its figure and caption."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from jessl.core.files import atomic_write
from jessl.core.png_headings import png_headings
from jessl.maps import MAP_FILE
from jessl.report.charts.ranking import draw_ranking
from jessl.report.charts.svg import in_both_sizes
from jessl.report.criterion import criterion_title
from jessl.report.formatting import format_interval, format_percent
from jessl.report.model import ReportData
from jessl.report.pages import document, layers, risk, scatter, summary, training
from jessl.report.pages.content import (
    Block,
    Cell,
    Fold,
    Folded,
    Lead,
    Page,
    Picture,
    Section,
    Table,
    TableColumn,
    TableRow,
    data_url,
    figure,
    numbers_folded,
    read_png,
)
from jessl.report.pages.embedding_map import HEADING as MAP_HEADING
from jessl.report.pages.embedding_map import map_blocks
from jessl.report.pages.run_table import run_table
from jessl.report.reading import read_report

FILE = "report.html"
MOST_PICTURE_BYTES = 2_500_000
_SPREAD = (
    " Spread is that of the directions of a layer's outputs in one step: 1 where they are "
    "isotropic, 0 where all images have one direction (collapse)."
)
_VIEWS = (
    "What the encoder is trained on. Views of one image stand together: the method pulls their "
    "representations towards each other, so what differs between them is what the encoder learns "
    "to ignore."
)
_NEIGHBOURS = (
    "Each row begins with an image; the images whose representations are nearest to it follow, "
    "the nearest first. Good representations put similar content next to each other."
)


def write_report(folder: str | Path) -> Path:
    """Write `folder`/report.html, one file that needs no network, and return its path.

    `folder` is a run (config.json, records.jsonl, optionally views.png, neighbours.png and
    map.json) or a study (study.json, records.jsonl, runs/NAME/ each a run). Parts without records
    are left out and named under "What was run". Pictures above 2.5 MB are left out as well.

    Raises:
        ValueError: naming the folder when it is neither a run nor a study, or a file in it
            that should hold a JSON object and does not.
    """
    page = document.render(report_page(read_report(folder)))
    path = Path(folder) / FILE
    with atomic_write(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def report_page(report: ReportData) -> Page:
    """The content of the page."""
    left_out: list[str] = []
    sections = []
    for key, heading, build in _SECTIONS:
        try:
            blocks = build(report)
        except _Missing as missing:
            left_out.append(f"{missing}")
            continue
        if blocks:
            sections.append(Section(key, heading, blocks))
    pictured = report.pictured_run()
    shown = report.chosen_runs() or ([pictured] if pictured is not None else [])
    what = [summary.facts(report, left_out), *summary.all_settings(shown)]
    sections.append(Section("what", "What was run", what))
    if (table := run_table(report)) is not None:
        sections.append(Section("table", "All numbers", [Lead(_TABLE), table]))
    return Page(
        kicker=f"jessl {report.kind}",
        title=report.study.title or report.name,
        findings=summary.findings(report),
        sections=sections,
        cards=summary.cards(report),
        small_cards=report.kind == "run",
    )


class _Missing(Exception):
    """Why a section is left out, for the page."""


def _ranking(report: ReportData) -> list[Block]:
    if report.kind == "run":
        return []
    drawn = in_both_sizes(partial(draw_ranking, report))
    if drawn is None:
        raise _Missing("The ranking: no run has a value of the criterion yet.")
    caption = (
        f"Settings of each method, the highest {criterion_title(report.criterion)} first. Large "
        "dots are means over seeds and bars one standard deviation; small rings are single runs. "
        "With one seed the bar is the 95 % interval of the measurement. ✓ marks the setting that "
        "the score chose in each method, the dark dot the run. "
    )
    if report.accuracy:
        probe = report.accuracy.removeprefix("accuracy/")
        caption += (
            f"Accuracy ({probe} probe, test data) was revealed after the choice; ★ marks the "
            "highest. Where the score works, both columns fall together."
        )
    else:
        caption += "No labels were revealed, so there is no accuracy beside it."
    return [*figure(caption, [drawn], table="table")]


def _scatter(report: ReportData) -> list[Block]:
    if report.kind == "run":
        return []
    drawn = in_both_sizes(partial(scatter.draw_scatter, report))
    if drawn is None:
        raise _Missing("RankMe against accuracy: no run has both numbers.")
    caption = (
        f"Every mark is a run: its {criterion_title(report.criterion)} against the accuracy "
        "of a probe, with 95 % intervals (cut at the frame); RankMe is corrected for few "
        "rows. ρ is Spearman's rank correlation within a method (1: "
        "the score orders the runs as their accuracy does; 0: it does not inform). Compare within "
        "a colour: between methods the score need not be comparable."
    )
    _, far = scatter.baselines(report)
    if far:
        values = ", ".join(f"{name} {format_percent(value)}" for name, value in far)
        caption += f" Outside the picture: {values}."
    return [*figure(caption, [drawn], scatter.scatter_legend(report), table="table")]


def _training(report: ReportData) -> list[Block]:
    panels = training.training_panels(report, details=False)
    losses = training.training_panels(report, details=True)
    if not any(panels) and not any(losses):
        raise _Missing("Training curves: the records hold no finite losses.")
    caption = "Gaps are steps without a finite number."
    of_losses = "Losses are means over the steps since the previous record."
    if report.kind == "study":
        caption = (
            "One line a run, coloured by the value of the hyperparameter (its size runs along the "
            "colour scale); values stand at the ends of the lines, and seeds share a colour. "
            + caption
        )
        of_losses = (
            "Losses of different values are on different scales by construction, so compare their "
            "shapes."
        )
    is_run = report.kind == "run"
    if is_run and any(next(report.runs()).last(n, "train") for n in training.SPREADS):
        of_losses += _SPREAD
    splits, names = report.training_splits(), training.evaluated_names(report)
    if splits and names:
        caption += " " + training.where_measured(names, splits)
    title = "Training details: loss"
    title += ", spread, learning rate, speed" if is_run else ""
    folded: list[Block] = [
        *figure(of_losses, losses, panels=True),
        *_as_blocks(training.training_table(report, details=True)),
    ]
    return [
        *figure(caption, panels, panels=True),
        *numbers_folded(training.training_table(report, details=False)),
        *([Folded([Fold(title, folded)])] if folded else []),
    ]


def _as_blocks(table: Table | None) -> list[Table]:
    return [] if table is None else [table]


def _few_labels(report: ReportData) -> list[Block]:
    few = report.study.few_labels
    if not few:
        return []
    shots = list(dict.fromkeys(k for rows in few.values() for k, *_ in rows))
    columns = [TableColumn("Features", is_text=True)]
    columns += [TableColumn(f"{k} label{'' if k == 1 else 's'} a class") for k in shots]
    rows = []
    for name, amounts in few.items():
        known = {k: (value, low, high) for k, value, low, high in amounts}
        cells = [Cell(name, name)]
        for k in shots:
            value, low, high = known.get(k, (None, None, None))
            interval = format_interval(low, high, format_percent)
            notes = [interval.removesuffix(" %")] if interval else []
            cells.append(Cell(format_percent(value), str(value or ""), notes))
        chosen = name == "chosen run"
        rows.append(TableRow(cells, run=report.study.chosen_run if chosen else None, chosen=chosen))
    caption = (
        "Accuracy of a ridge probe that was fitted on so few labelled images, mean over draws of "
        "them; small print holds 95 % intervals. The chosen run was trained and chosen without "
        "labels. The untrained encoder is the same net with random weights."
    )
    return [Lead(caption), Table(columns, rows)]


def _layers(report: ReportData) -> list[Block]:
    if report.kind == "study":
        return []
    run = next(report.runs())
    accuracies = layers.layer_accuracies(run)
    if accuracies is not None:
        panels = layers.layer_panels(accuracies)
        drawn = figure(layers.layer_caption(accuracies), panels, panels=True)
        return [*drawn, *numbers_folded(layers.layer_table(accuracies))]
    if any(record.name.startswith("accuracy/") for record in run.records):
        raise _Missing("Layer by layer: no probes of the layers were recorded.")
    return []


def _spectra(report: ReportData) -> list[Block]:
    panels = training.spectrum_panels(report)
    if not any(panels):
        raise _Missing("Spectra: the records hold no singular values.")
    caption = (
        "Singular values of the embeddings, divided by the largest, from the first to the last; "
        "both axes are logarithmic. A flat line uses all its dimensions (high RankMe); a steep "
        "fall or a cliff means that few dimensions carry everything. Values below 10⁻⁹ of the "
        "largest are rounding and are not drawn."
    )
    drawn = figure(caption, panels, panels=True)
    return [*drawn, *numbers_folded(training.spectrum_table(report))]


def _risk(report: ReportData) -> list[Block]:
    drawn = in_both_sizes(partial(risk.draw_risk, report))
    if drawn is None:
        raise _Missing("Risk components: no decomposition was recorded.")
    if "approximation" in risk.component_names(report):
        first = (
            "Approximation: what the architecture cannot express. "
            "Usability: what a linear probe cannot read out"
        )
        if True in report.risk_merged():
            first += "; without a supervised twin it is approximation and usability in one number"
    else:
        first = (
            "Approximation and usability: what the architecture cannot express or a linear probe "
            "cannot read out (one number, as no supervised twin was trained)"
        )
    caption = (
        "Where the error of each run comes from. Components to the right of zero add error, "
        "those to the left reduce it; none is cut at zero, and together they give the total "
        "(diamond). Lines below a bar are 95 % intervals, each from where its part begins; the "
        "last is that of the total. "
        f"{first}. Probe generalization: what the probe loses for lack of labelled images. "
        "Encoder generalization: what is lost on images that pretraining has not seen."
    )
    return [*figure(caption, [drawn], risk.risk_legend(report), table="table")]


def _picture(name: str, heading: str, caption: str, report: ReportData) -> list[Block]:
    path = report.drawing(f"{name}.png")
    if path is None:
        raise _Missing(f"{heading}: there is no {name}.png.")
    try:
        data = read_png(path, MOST_PICTURE_BYTES)
    except ValueError as error:
        raise _Missing(f"{heading}: {error}") from None
    # an image header: width is big-endian at byte 16; small images are shown with sharp pixels
    width = int.from_bytes(data[16:20], "big")
    tiny = width < 480
    run = report.pictured_run() if report.kind == "study" else None
    if run is not None:
        caption += f" Shown for the run {run.name}."
    picture = Picture(
        data_url(data), heading, 2 * width if tiny else width, tiny, columns=png_headings(data)
    )
    return [*figure(caption, [picture])]


def _map(report: ReportData) -> list[Block]:
    # numpy, which a page without a map does not need
    from jessl.maps.embedding_map import read_map

    path = report.drawing(MAP_FILE)
    if path is None:
        raise _Missing(f"{MAP_HEADING}: there is no {MAP_FILE}.")
    try:
        return map_blocks(read_map(path))
    except ValueError as error:
        raise _Missing(f"{MAP_HEADING}: {error}") from None


_TABLE = (
    "Every run with every number. RankMe is corrected for few rows (debiased); small print holds "
    "the value as published and 95 % intervals, which belong to the corrected one. "
    "A heading sorts by its column."
)
_SECTIONS: tuple[tuple[str, str, Callable[[ReportData], list[Block]]], ...] = (
    ("few", "What a few labels are worth", _few_labels),
    ("ranking", "Ranking without labels", _ranking),
    ("risk", "Where the error comes from", _risk),
    ("scatter", "Does the score follow accuracy?", _scatter),
    ("training", "Over training", _training),
    ("layers", "Layer by layer", _layers),
    ("views", "Sample views", partial(_picture, "views", "Sample views", _VIEWS)),
    (
        "neighbours",
        "Nearest neighbours",
        partial(_picture, "neighbours", "Nearest neighbours", _NEIGHBOURS),
    ),
    ("map", MAP_HEADING, _map),
    ("spectra", "Spectra", _spectra),
)
