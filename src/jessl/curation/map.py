"""The map of a curation: all its findings as colours."""

from __future__ import annotations

import numpy as np

from jessl.curation.result import Curation
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extraction.image_map import image_map
from jessl.maps.colours import Classes, Colour, Values, classes_of, groups_of
from jessl.maps.embedding_map import EmbeddingMap


def curation_map(
    result: Curation, z: Embeddings, images: Source | None, kind: str, seed: int
) -> EmbeddingMap | None:
    """The map of the pool; of more than 20,000 images, those that the result names come first.

    Args:
        result: of the curation.
        z: the pool.
        images: for thumbnails; None: without.
        kind: one of `jessl.maps.layouts.MAPS`.
        seed: of the layout and of the choice of images.
    """
    groups = result.duplicates.groups
    named = [result.outliers.rows, result.label_errors.rows, *groups]
    if result.label_first is not None:
        named.insert(0, result.label_first.rows)
    first = np.unique(np.concatenate(named)) if named else None
    return image_map(z, images, _colours(result, len(z)), kind=kind, seed=seed, first=first)


def _colours(result: Curation, n: int) -> list[Colour]:
    colours: list[Colour] = []
    if result.label_first is not None:
        order = np.full(n, -1, np.int32)
        order[result.label_first.rows] = 0
        colours.append(Classes("label first", ["label first"], order))
    if len(result.labels.rows):
        texts = result.labels.texts
        colours.append(classes_of("label", [texts.get(row) for row in range(n)]))
    colours.append(Values("outlierness, sd", result.outliers.score))
    if result.duplicates.groups:
        colours.append(groups_of("near-duplicates", n, result.duplicates.groups))
    errors = result.label_errors
    if len(errors.rows):
        suggested = dict(zip(errors.rows.tolist(), errors.suggested.tolist(), strict=True))
        names = result.labels.classes
        rather = [names[suggested[row]] if row in suggested else None for row in range(n)]
        colours.append(classes_of("suspected label error, rather", rather))
    faults = result.image_faults
    if faults is not None and len(faults.rows):
        kinds: list[str | None] = [None] * n
        for row, fault in zip(faults.rows.tolist(), faults.kinds, strict=True):
            kinds[row] = fault
        colours.append(classes_of("image fault", kinds))
    return colours
