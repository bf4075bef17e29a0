"""The map of a comparison: the same images by every encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jessl.comparison.rows import ComparisonConfig
from jessl.comparison.table import EncoderRow
from jessl.core.files import contained
from jessl.embeddings import Embeddings
from jessl.extraction.image_map import images_in_planes, label_colours
from jessl.maps import MAP_FILE
from jessl.maps.colours import Colour, Values, clusters_of, outlierness_of
from jessl.maps.embedding_map import EmbeddingMap
from jessl.maps.layouts import Layout, layouts

# each is read again for its thumbnail, and laid out for each encoder
MOST_IMAGES = 2_000


def write_comparison_map(rows: Sequence[EncoderRow], config: ComparisonConfig, kind: str) -> None:
    """Write map.json: up to 2,000 images that every encoder has embedded, a layout an encoder.

    Without a layout no file is left.
    """
    drawn = _draw(rows, config, kind)
    path = contained(config.out, MAP_FILE)
    if drawn is not None:
        drawn.write(path)
    else:
        path.unlink(missing_ok=True)


def _draw(rows: Sequence[EncoderRow], config: ComparisonConfig, kind: str) -> EmbeddingMap | None:
    embedded = {
        row.name: Embeddings.load(contained(config.out, row.slug, "embeddings"), mmap=True)
        for row in rows
        if row.failed is None
    }
    if not embedded:
        return None
    common = next(iter(embedded.values())).ids
    for z in embedded.values():
        common = np.intersect1d(common, z.ids)
    shown = np.random.default_rng([config.seed, 13]).permutation(common)[:MOST_IMAGES]
    plane: list[Layout] = []
    clusters: list[Colour] = []
    for name, z in embedded.items():
        features = np.asarray(z.features[_rows(z, shown)])
        plane += layouts(features, kind, config.seed, name)
        if len(features) > 1:
            cluster = clusters_of(features, config.seed)
            distance = outlierness_of(features)
            clusters += [
                cluster.named(f"cluster by {name}"),
                Values(f"{distance.name} by {name}", distance.values),
            ]
    first = next(iter(embedded.values()))
    at = _rows(first, shown)
    labels: list[Colour] = [colour.at(at) for colour in label_colours(first)]
    if not plane:
        return None
    return images_in_planes(first, config.source, at, plane, [*labels, *clusters])


def _rows(z: Embeddings, ids: np.ndarray) -> np.ndarray:
    order = np.argsort(z.ids)
    rows: np.ndarray = order[np.searchsorted(z.ids, ids, sorter=order)]
    return rows
