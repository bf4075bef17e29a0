"""The page of a classification: thumbnails by predicted class, least sure first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from jessl.classification.outcome import Outcome
from jessl.core.files import atomic_write
from jessl.data import Source, UnreadableImage
from jessl.maps.embedding_map import EmbeddingMap
from jessl.report.charts.matrix import MatrixCell, matrix
from jessl.report.pages.content import (
    Block,
    Card,
    Fact,
    Facts,
    Gallery,
    Lead,
    Notes,
    Page,
    Section,
    Tile,
    TileGroup,
    figure,
)
from jessl.report.pages.document import render
from jessl.report.pages.embedding_map import HEADING, map_blocks
from jessl.report.pages.thumbnails import thumbnail

MOST_CLASSES, MOST_IMAGES = 24, 24
# classes whose confusions are drawn; more cannot be read
_MOST_CONFUSED = 20


def write_page(
    path: Path,
    title: str,
    announcement: Sequence[str],
    expected: Mapping[str, Any],
    about: Mapping[str, str],
    counts: Mapping[str, int],
    outcome: Outcome,
    rows: NDArray[np.int64],
    index: NDArray[np.int64],
    images: Source,
    drawn: EmbeddingMap | None = None,
) -> None:
    """Write the page: one file that loads nothing.

    Args:
        path: the file.
        title: of the page.
        announcement: what to expect and what to beware of, in sentences.
        expected: the same as JSON values.
        about: name -> text, how it was done.
        counts: name -> number, for the tiles.
        outcome: the predictions.
        rows: which rows are shown; index: [n], the image of each row of the outcome.
        images: the source of the images.
        drawn: their map.
    """
    sections = [
        Section("images", "Predicted images", _thumbnails(outcome, rows, index, images)),
        Section("confusion", "What is confused", _confusion(expected.get("confusion"))),
        Section("map", HEADING, map_blocks(drawn)),
        Section("about", "How it was done", [Facts.of(Fact(k, v) for k, v in about.items())]),
    ]
    page = Page(
        kicker="jessl classify",
        title=title,
        findings=list(announcement),
        cards=[Card(name, f"{count:,}") for name, count in counts.items()],
        small_cards=True,
        sections=[section for section in sections if section.blocks],
    )
    with atomic_write(path) as part:
        part.write_text(render(page), encoding="utf-8", errors="backslashreplace")


def _thumbnails(
    outcome: Outcome, rows: NDArray[np.int64], index: NDArray[np.int64], images: Source
) -> list[Block]:
    group = np.array(outcome.group, dtype=object)[rows]
    names, counts = np.unique(group, return_counts=True)
    shown = [names[k] for k in np.argsort(-counts, kind="stable")[:MOST_CLASSES]]
    lead = (
        f"Up to {MOST_IMAGES} images of each predicted class, the least sure first: errors "
        "collect here. Below each: the probability of the class, and the second guess. Tick those "
        "that are wrong and copy their names."
    )
    groups = []
    for name in sorted(shown, key=str):
        inside = rows[group == name]
        order = inside[np.argsort(outcome.sureness[inside], kind="stable")][:MOST_IMAGES]
        tiles = [_tile(outcome, int(row), int(index[row]), images) for row in order]
        groups.append(TileGroup(tiles, f"{name} · {len(inside):,}"))
    blocks: list[Block] = [Lead(lead), Gallery("predicted", groups)]
    if len(names) > len(shown):
        blocks.append(Notes.of([f"{len(names) - len(shown):,} smaller classes are not shown."]))
    return blocks


def _tile(outcome: Outcome, row: int, image: int, images: Source) -> Tile:
    """An image with its caption; without a picture where it cannot be read."""
    try:
        picture = thumbnail(images.picture(image))
    except UnreadableImage:
        picture = ""
    return Tile(images.key(image), picture, [", ".join(outcome.caption[row])])


def _confusion(confusion: Mapping[str, Any] | None) -> list[Block]:
    if not confusion or not np.sum(confusion["counts"]):
        return []
    names = [str(name) for name in confusion["classes"]]
    counts = np.array(confusion["counts"])
    wrong = counts - np.diag(np.diag(counts))
    caption = (
        "Labelled images by their label (rows) and by what a classifier without them predicts "
        "(columns)."
    )
    blocks: list[Block] = []
    order = np.arange(len(names))
    if len(names) > _MOST_CONFUSED:
        order = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)))[:_MOST_CONFUSED])
        caption += f" The {_MOST_CONFUSED} of {len(names)} classes with the most errors."
    blocks += figure(caption, [_drawn(counts[np.ix_(order, order)], [names[k] for k in order])])
    pairs = np.argwhere(wrong)
    if len(pairs):
        pairs = pairs[np.argsort(-wrong[tuple(pairs.T)], kind="stable")][:8]
        blocks.append(
            Notes.of(
                f"{names[a]} taken for {names[b]}: {wrong[a, b]} of {counts[a].sum()}"
                for a, b in pairs
            )
        )
    return blocks


def _drawn(counts: NDArray[np.int64], names: Sequence[str]) -> Markup:
    most = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    share = counts / most
    cells = [
        [
            MatrixCell(
                str(count),
                "m0" if i == k else "m3",
                float(0.12 + 0.78 * share[i, k]),
                f"{names[i]} predicted as {names[k]}: {count}",
            )
            if count
            else None
            for k, count in enumerate(row)
        ]
        for i, row in enumerate(counts.tolist())
    ]
    return matrix(names, names, cells, "Confusion matrix of held-out labelled images")
