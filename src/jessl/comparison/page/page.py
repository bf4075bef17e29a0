"""The page of a comparison of encoders: numbers, orders, neighbours, and how to read them."""

from __future__ import annotations

from pathlib import Path

from jessl.comparison.page.answer import RULES, ComparisonData, read_comparison, title_of
from jessl.comparison.page.numbers import error_panels, score_panels
from jessl.comparison.page.orders import agreement_matrix, rank_matrix
from jessl.comparison.page.table import component_table, encoder_table, failures
from jessl.core.files import atomic_write, is_contained_file, read_json
from jessl.core.png_headings import png_headings
from jessl.maps import MAP_FILE
from jessl.maps.embedding_map import read_map
from jessl.report.json_values import Json, number, word
from jessl.report.pages.content import (
    Block,
    Fact,
    Facts,
    Fold,
    Folded,
    Heading,
    Lead,
    Named,
    Notes,
    Page,
    Picture,
    Section,
    data_url,
    figure,
    read_png,
)
from jessl.report.pages.document import render
from jessl.report.pages.embedding_map import HEADING as MAP_HEADING
from jessl.report.pages.embedding_map import map_blocks

FORMAT = "jessl.encoders"
# of one picture: 64 photographs of 64 px are below 1 MB
MOST_PICTURE_BYTES = 4_000_000


def write_encoders_page(folder: str | Path) -> Path:
    """Write encoders.html from encoders.json and the pictures beside it.

    Args:
        folder: what `compare_encoders` wrote.

    Returns:
        The file: it loads nothing, whatever the names contain.

    Raises:
        ValueError: naming the file when it is missing or is not a comparison of encoders.
    """
    folder = Path(folder)
    answer = read_json(folder / "encoders.json")
    if not isinstance(answer, dict) or answer.get("format") != FORMAT:
        raise ValueError(f"{folder / 'encoders.json'}: expected a comparison of encoders")
    path = folder / "encoders.html"
    with atomic_write(path) as part:
        part.write_text(encoders_page(answer, folder), encoding="utf-8")
    return path


def encoders_page(answer: Json, folder: Path) -> str:
    """The whole page as text, one file that loads nothing.

    Args:
        answer: encoders.json; missing keys are left out.
        folder: where the pictures lie.
    """
    comparison = read_comparison(answer)
    sections = [
        Section("table", "All encoders", _table(comparison)),
        Section("labels", "With labels", _labels(comparison)),
        Section("scores", "Without labels", _scores(comparison)),
        Section("orders", "Do the columns agree?", _orders(comparison)),
        Section("neighbours", "Nearest neighbours", _neighbours(comparison, folder)),
        Section("map", MAP_HEADING, _map(folder)),
        Section("reading", "How to read this", _reading(comparison)),
        Section("about", "How it was measured", [_about(comparison)]),
    ]
    return render(
        Page(
            kicker="jessl select --encoders",
            title="Which encoder suits these images?",
            findings=_findings(comparison),
            sections=[section for section in sections if section.blocks],
        )
    )


def _findings(comparison: ComparisonData) -> list[str]:
    """The first conclusion, and what was compared."""
    settings = comparison.settings
    measured, every = len(comparison.measured), len(comparison.encoders)
    encoders = f"{measured} encoders" if measured == every else f"{measured} of {every} encoders"
    data = word(settings, "data")
    name = data.rstrip("/").rpartition("/")[2] or data
    return [*comparison.notes[:1], f"{encoders} on {_count(settings, 'images')} images of {name}."]


def _count(settings: Json, key: str) -> str:
    """A number with thousands apart; a dash without one."""
    value = number(settings, key)
    return "–" if value is None else f"{value:,.0f}"


def _table(comparison: ComparisonData) -> list[Block]:
    lead = (
        "A heading sorts by its column. Small print holds 95 % intervals; RankMe and "
        "RankMe / d are corrected for few images, with the published value below. The interval "
        "below milliseconds holds the quartiles over batches."
    )
    return [Lead(lead), encoder_table(comparison), *failures(comparison)]


def _labels(comparison: ComparisonData) -> list[Block]:
    settings = comparison.settings
    where = "the test images"
    if not settings.get("test"):
        where = "the labelled images, each left out of the fit that predicts it"
    caption = (
        f"0-1 errors of {word(settings, 'probe')} probes on {where}, the same for every encoder, "
        "with 95 % intervals. The paired difference is more precise than two intervals side by "
        "side: what makes an image hard for both encoders cancels in it. An encoder whose bar "
        "reaches 0 there is not distinguishable from the best."
    )
    blocks: list[Block] = [*figure(caption, error_panels(comparison), panels=True, table="table")]
    table = component_table(comparison)
    if blocks and table is not None:
        caption = (
            "Where the error comes from. Usability: what a probe cannot read out even of the "
            "images it was fitted on. Probe generalization: what is lost for lack of labelled "
            "images. Encoder generalization: what is lost on images that pretraining has not "
            "seen. Components are signed and sum to the error."
        )
        blocks += [Heading("Components of the error"), *figure(caption, [table])]
    return blocks


def _scores(comparison: ComparisonData) -> list[Block]:
    caption = (
        "A panel a column, each in its own order, best first by the rule below its title. Bars "
        "are 95 % intervals for the choice of images; RankMe and RankMe / d are corrected for "
        "few images. A ring instead of a dot: fewer than 4 d images, or no interval."
    )
    return [*figure(caption, score_panels(comparison), panels=True, table="table")]


def _orders(comparison: ComparisonData) -> list[Block]:
    caption = (
        "Rank of each encoder by each column. 1= is shared by the first and those that these "
        "images do not distinguish from it (intervals that overlap; of the error the paired one)."
    )
    blocks: list[Block] = [*figure(caption, [rank_matrix(comparison)])]
    caption = (
        "Kendall's tau-b between the orders of two columns: 1 where they are the same, −1 "
        "where one is the other reversed. All columns see the same features: agreement is "
        "no evidence that they are right."
    )
    if tau := figure(caption, [agreement_matrix(comparison)]):
        blocks += [Heading("Kendall's tau"), *tau]
    return blocks


def _map(folder: Path) -> list[Block]:
    if not is_contained_file(folder, MAP_FILE):
        return []
    try:
        return map_blocks(read_map(folder / MAP_FILE))
    except ValueError as error:
        return [Notes.of([error])]


def _neighbours(comparison: ComparisonData, folder: Path) -> list[Block]:
    pictures, missing = [], []
    for encoder in comparison.measured:
        data = _png(folder, encoder.neighbours)
        if data is None:
            missing.append(encoder.name)
            continue
        description = f"Nearest neighbours by {encoder.name}"
        pictures.append(
            Picture(
                data_url(data),
                description,
                heading=encoder.name,
                colour=encoder.colour,
                columns=png_headings(data),
            )
        )
    caption = (
        "The same images for every encoder, one a row; to the right those that the encoder ranks "
        "most similar (cosine), the nearest first. Check whether it groups what belongs together "
        "for your task, or what shares a colour or a background."
    )
    if missing:
        caption += f" Without a picture: {', '.join(missing)}."
    return [*figure(caption, pictures, panels=True)]


def _png(folder: Path, name: str) -> bytes | None:
    """The bytes of a picture inside the folder; None without one."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    try:
        return read_png(path, MOST_PICTURE_BYTES)
    except ValueError:
        return None


def _reading(comparison: ComparisonData) -> list[Block]:
    blocks: list[Block] = [Notes.of(comparison.notes)] if comparison.notes else []
    warnings: list[Block] = []
    for encoder in comparison.encoders:
        if encoder.warnings:
            warnings += [Heading(encoder.name), Notes.of(encoder.warnings)]
    if warnings:
        count = sum(len(encoder.warnings) for encoder in comparison.encoders)
        blocks.append(Folded([Fold(f"Warnings of single numbers ({count})", warnings)]))
    return blocks


def _about(comparison: ComparisonData) -> Facts:
    settings, encoders = comparison.settings, comparison.measured
    devices = sorted({e.cost.device for e in encoders} - {""})
    sizes = sorted({e.cost.batch_size for e in encoders} - {0})
    views, time = "", ""
    if settings.get("views"):
        views = f"{settings.get('n_views')} views ({settings['views']}) of "
        views += f"{_count(settings, 'view_images')} images"
    if devices:
        time = (
            "the encoder alone, without reading images, when it was embedded (other work on the "
            "machine slows it): median over full batches after the first "
            f"({', '.join(map(str, sizes))} images; {'; '.join(devices)})"
        )
    labelled = _count(settings, "labelled") if number(settings, "labelled") else ""
    return Facts.of(
        [
            Fact(
                "Images",
                f"{settings.get('data')}: {_count(settings, 'images')} of "
                f"{_count(settings, 'of_images')}, the same for every encoder",
            ),
            Fact("Checksum", word(settings, "data_checksum")),
            Fact("Labels", f"{labelled} images; of errors only" if labelled else "none"),
            Fact("Test images", word(settings, "test")),
            Fact("Groups", word(settings, "groups")),
            Fact(
                "Features",
                "backbone, float32, one central view by each encoder's own preprocessing",
            ),
            Fact("Random views", views),
            Fact("Columns", lines=[_column(comparison, c) for c in comparison.columns]),
            Fact("Time", time),
            Fact("Intervals", "95 %, each on its own; over images, not over trainings"),
            Fact("Seed", word(settings, "seed")),
        ]
    )


def _column(comparison: ComparisonData, column: str) -> Named:
    rule, meaning = RULES[column]
    sources = (e.scores[column].source for e in comparison.measured if column in e.scores)
    source = next((s for s in sources if s), "source not recorded")
    return Named(f": {meaning} ({source}); {rule}.", title_of(column))
