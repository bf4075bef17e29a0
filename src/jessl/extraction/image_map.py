"""The map of the images that embeddings were computed of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jessl.core.texts import Texts
from jessl.data import Source, UnreadableImage
from jessl.embeddings import Embeddings
from jessl.maps.colours import Classes, Colour, classes_of, clusters_of
from jessl.maps.embedding_map import EmbeddingMap, draw_map, shown_rows
from jessl.maps.layouts import Layout, layouts
from jessl.maps.sheets import ReadImage

# ids of files are hashes of 63 bits, those of arrays row numbers
MOST_ROW_NUMBER = 1 << 40


def image_map(
    z: Embeddings,
    images: Source | None,
    colours: Sequence[Colour] = (),
    *,
    kind: str = "pca",
    seed: int = 0,
    first: NDArray[np.int64] | None = None,
    total: int | None = None,
) -> EmbeddingMap | None:
    """The map of up to 20,000 rows, with thumbnails where the images are there.

    Example:
        image_map(z, source, label_colours(z))

    Args:
        z: [n, d], finite.
        images: their source; None: no thumbnails.
        colours: of the n rows; ten clusters follow them.
        kind: one of `jessl.maps.layouts.MAPS`.
        seed: of the choice of rows, the layouts and the clusters.
        first: rows that are shown before others.
        total: images that the rows are a sample of; None: the rows are all.

    Returns:
        None for `none`, for fewer than three rows, and where all rows are equal.
    """
    rows = shown_rows(len(z), seed, first)
    features = np.asarray(z.features[rows])
    plane = layouts(features, kind, seed)
    if not plane:
        return None
    shown: list[Colour] = [colour.at(rows) for colour in colours]
    shown.append(clusters_of(features, seed))
    return images_in_planes(z, images, rows, plane, shown, total)


def images_in_planes(
    z: Embeddings,
    images: Source | None,
    rows: NDArray[np.int64],
    plane: Sequence[Layout],
    colours: Sequence[Colour],
    total: int | None = None,
) -> EmbeddingMap | None:
    """The map of some rows of embeddings, whose layouts and colours are known."""
    index = None if images is None else images.index_of(z.ids[rows])
    names = list(row_names(z, images, rows))
    read = None if images is None or index is None else _reader(images, index)
    return draw_map(names, plane, colours, read, total or len(z))


def row_names(z: Embeddings, images: Source | None, rows: NDArray[np.int64] | None = None) -> Texts:
    """The names of rows: of the embeddings, else of their images.

    Where there are neither, the ids of arrays, which are row numbers that a subset keeps; ids of
    files are hashes, so that their rows are called by their place.

    Args:
        z: [n, d]; all its rows are of `images` where they have no names.
        images: None: there are none.
        rows: which; None: all.
    """
    chosen = np.arange(len(z)) if rows is None else rows
    if z.names is not None:
        names = z.names
        return names if rows is None else Texts.of(names[row] for row in chosen.tolist())
    if images is not None:
        return images.names(images.index_of(z.ids[chosen]))
    are_numbers = len(z) > 0 and int(z.ids.max()) < MOST_ROW_NUMBER
    return Texts.of(map(str, (z.ids[chosen] if are_numbers else chosen).tolist()))


def label_colours(z: Embeddings) -> list[Classes]:
    """The colour of the labels of embeddings; nothing without labels."""
    names = z.label_names()
    return [] if names is None else [classes_of("label", names)]


def _reader(images: Source, index: NDArray[np.int64]) -> ReadImage:
    def read(k: int) -> NDArray[np.unsignedinteger] | None:
        try:
            return images.picture(int(index[k]))
        except UnreadableImage:
            return None

    return read
