"""The page of a curation: images to tick, and a list of their names to copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.files import atomic_write
from jessl.curation.image_faults import KINDS
from jessl.curation.result import Curation
from jessl.data import Source, UnreadableImage
from jessl.maps.embedding_map import EmbeddingMap
from jessl.report.pages.content import (
    Block,
    Fact,
    Facts,
    Gallery,
    Lead,
    Notes,
    Page,
    Section,
    Tile,
    TileGroup,
)
from jessl.report.pages.document import render
from jessl.report.pages.embedding_map import HEADING, map_blocks
from jessl.report.pages.thumbnails import thumbnail

# images of a section; the files hold all
MOST_IMAGES, MOST_OF_GROUP = 240, 8

_Lines = Callable[[int], Sequence[str]]


class Thumbnails:
    """Small pictures of images, each made once.

    Args:
        images: the source; None: there are none, and no pictures either.
        index: int64 [n], the image of each row.
    """

    def __init__(self, images: Source | None, index: NDArray[np.int64] | None) -> None:
        self._images, self._index = images, index
        self._made: dict[int, str] = {}

    def of(self, row: int) -> str:
        """The picture of a row as a URL with its data; empty where it cannot be read."""
        if self._images is None or self._index is None:
            return ""
        if row not in self._made:
            try:
                self._made[row] = thumbnail(self._images.picture(int(self._index[row])))
            except UnreadableImage:
                self._made[row] = ""
        return self._made[row]


def write_page(
    path: Path,
    result: Curation,
    images: Source | None,
    index: NDArray[np.int64] | None,
    about: Iterable[tuple[str, str]],
    drawn: EmbeddingMap | None = None,
) -> None:
    """Write the page: one file that loads nothing.

    Args:
        path: the file.
        result: what is shown.
        images: their pictures, None without; index: [n], the image of each row.
        about: name and text, how it was done.
        drawn: the map of the images.
    """
    thumbnails = Thumbnails(images, index)
    sections = [
        _label_first(result, thumbnails),
        _duplicates(result, thumbnails),
        _outliers(result, thumbnails),
        _label_errors(result, thumbnails),
        _image_faults(result, thumbnails),
        Section("map", HEADING, map_blocks(drawn)),
        Section("about", "How it was done", [Facts.of(Fact(k, v) for k, v in about)]),
    ]
    page = Page(
        kicker="jessl curate",
        title=f"{len(result.names):,} images: what to look at",
        findings=[result.sentence(), *result.warnings],
        sections=[section for section in sections if section is not None and section.blocks],
    )
    with atomic_write(path) as part:
        part.write_text(render(page), encoding="utf-8", errors="backslashreplace")


def _label_first(result: Curation, thumbnails: Thumbnails) -> Section | None:
    first = result.label_first
    if first is None:
        return None
    place = {row: k for k, row in enumerate(first.rows.tolist())}

    def lines(row: int) -> Sequence[str]:
        count = int(first.represents[place[row]])
        return [f"{place[row] + 1}. stands for {count:,}"]

    lead = (
        f"In this order, by {first.method}. Each stands for so many images of the pool: those that "
        "are nearer to it than to any other with a label. Fill the column label of label_first.csv."
    )
    rows = first.rows.tolist()
    return Section(
        "first",
        f"Label these first · {len(rows):,}",
        _gallery(result, thumbnails, "first", lead, rows, lines),
    )


def _duplicates(result: Curation, thumbnails: Thumbnails) -> Section | None:
    groups = result.duplicates.groups
    if not groups:
        return None
    shown: list[TileGroup] = []
    count = 0
    for k, group in enumerate(groups):
        if count >= MOST_IMAGES:
            break
        part = group[:MOST_OF_GROUP].tolist()
        more = f", {len(group) - len(part):,} more" if len(group) > len(part) else ""
        tiles = [
            _tile(result, thumbnails, row, ["keep"] if row == group[0] else _distance(result, row))
            for row in part
        ]
        shown.append(TileGroup(tiles, f"Group {k + 1} · {len(group):,} images{more}"))
        count += len(part)
    lead = (
        "Equal images and nearly equal ones: resaved, resized, a little cropped, taken a moment "
        "later. The first of each group is the one to keep."
    )
    blocks: list[Block] = [Lead(lead), Gallery("duplicates", shown)]
    if len(shown) < len(groups):
        blocks.append(_not_shown(f"{len(groups) - len(shown):,} groups", "duplicates.csv"))
    return Section("duplicates", f"Near-duplicates · {len(result.duplicates.surplus):,}", blocks)


def _distance(result: Curation, row: int) -> list[str]:
    return [f"distance {result.duplicates.distance[row]:.2g}"]


def _outliers(result: Curation, thumbnails: Thumbnails) -> Section | None:
    rows = result.outliers.rows.tolist()
    if not rows:
        return None
    lead = (
        "Far from all others, the farthest first; sd are robust standard deviations beyond the "
        "median image. Some are mistakes, some are the rare images that matter."
    )

    def lines(row: int) -> Sequence[str]:
        return [f"{result.outliers.score[row]:.1f} sd"]

    blocks = _gallery(result, thumbnails, "outliers", lead, rows, lines)
    return Section("outliers", f"Outliers · {len(rows):,}", blocks)


def _label_errors(result: Curation, thumbnails: Thumbnails) -> Section | None:
    errors = result.label_errors
    if not len(errors.rows):
        return None
    place = {row: k for k, row in enumerate(errors.rows.tolist())}

    def lines(row: int) -> Sequence[str]:
        k = place[row]
        suggested = result.labels.classes[int(errors.suggested[k])]
        return [
            f"label {result.labels.texts[row]} ({errors.given_probability[k]:.0%})",
            f"rather {suggested} ({errors.suggested_probability[k]:.0%})",
        ]

    lead = (
        "Labels that a probe fitted without the image contradicts, the most suspect first. Look at "
        f"each: a probe that is right about {errors.accuracy:.0%} of the labels is often the one "
        "that errs."
    )
    blocks = _gallery(result, thumbnails, "errors", lead, errors.rows.tolist(), lines)
    return Section("errors", f"Suspected label errors · {len(errors.rows):,}", blocks)


def _image_faults(result: Curation, thumbnails: Thumbnails) -> Section | None:
    faults = result.image_faults
    if faults is None or not len(faults.rows):
        return None
    shown: list[TileGroup] = []
    notes: list[str] = []
    kinds = np.array(faults.kinds)
    most = MOST_IMAGES // len(KINDS)
    for kind in KINDS:
        at = np.flatnonzero(kinds == kind)
        if not len(at):
            continue
        tiles = [
            _tile(result, thumbnails, int(faults.rows[k]), [_fault(kind, float(faults.values[k]))])
            for k in at[:most]
        ]
        shown.append(TileGroup(tiles, f"{kind.capitalize()} · {len(at):,}"))
        if len(at) > most:
            notes.append(f"{len(at) - most:,} more {kind}")
    blocks: list[Block] = [
        Lead("Blurred, odd sizes and odd aspects are relative to the other images of the pool."),
        Gallery("faults", shown),
    ]
    if notes:
        blocks.append(_not_shown(", ".join(notes), "image_faults.csv"))
    return Section("faults", f"Image faults · {len(faults.rows):,}", blocks)


def _fault(kind: str, value: float) -> str:
    return {
        "constant": f"contrast {value:.1%}",
        "dark": f"brightest {value:.0%} of white",
        "bright": f"darkest {value:.0%} of white",
        "blurred": f"{value:.1f} sd",
        "odd size": f"side {value:.2g} times the median",
        "odd aspect": f"aspect {value:.2g} times the median",
    }[kind]


def _gallery(
    result: Curation,
    thumbnails: Thumbnails,
    key: str,
    lead: str,
    rows: Sequence[int],
    lines: _Lines,
) -> list[Block]:
    tiles = [_tile(result, thumbnails, row, lines(row)) for row in rows[:MOST_IMAGES]]
    blocks: list[Block] = [Lead(lead), Gallery(key, [TileGroup(tiles)])]
    if len(rows) > len(tiles):
        file = {"first": "label_first.csv", "outliers": "outliers.csv"}.get(key, "label_errors.csv")
        blocks.append(_not_shown(f"{len(rows) - len(tiles):,} images", file))
    return blocks


def _tile(result: Curation, thumbnails: Thumbnails, row: int, lines: Sequence[str]) -> Tile:
    return Tile(result.names[row], thumbnails.of(row), lines)


def _not_shown(what: str, file: str) -> Notes:
    return Notes.of([f"{what} are not shown; {file} has all."])
