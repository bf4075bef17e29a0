"""A grid of images beside their views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jessl.core.image_grid import unnormalised
from jessl.data import Loader, Source, Subset
from jessl.data.sources.base import Bands
from jessl.views import Views
from jessl.views.captions import caption


@dataclass(frozen=True)
class Grid:
    """Images and their views, as `write_grid` takes them: rows, columns and captions."""

    columns: list[str]
    rows: list[list[np.ndarray]]
    captions: list[list[list[str]]]


def view_rows(source: Source, views: Views, *, seed: int, count: int = 6) -> Grid:
    """Rows of evenly spaced images: each image and its views; one or two views are drawn twice.

    Raises:
        ValueError: when none of the images can be read.
    """
    indices = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round())
    sample = Subset(source, indices.astype(np.int64))
    loader = Loader(
        sample, views, count, seed=seed, shuffle=False, unreadable="drop", return_params=True
    )
    position = {int(i): k for k, i in enumerate(sample.ids)}
    names = _column_names(views)
    grid = Grid(["image"], [], [])
    for epoch in range(2 if len(views) <= 2 else 1):
        grid.columns.extend(f"{name}{', again' * epoch}" for name in names)
        for batch in loader:
            assert batch.params is not None
            pictures = [_pictures(v.cpu().numpy(), views, source.bands) for v in batch.views]
            if not grid.rows:
                originals = [sample.picture(position[int(i)]) for i in batch.ids]
                grid.rows.extend([image] for image in originals)
                grid.captions.extend([[f"{i.shape[1]}x{i.shape[0]}"]] for i in originals)
            for k, (row, captions) in enumerate(zip(grid.rows, grid.captions, strict=True)):
                row.extend(v[k] for v in pictures)
                captions.extend(caption(p, k, *row[0].shape[:2]) for p in batch.params)
    if not grid.rows:
        where, reason = next(iter(loader.skipped.items()))
        raise ValueError(
            f"none of {len(sample)} images of {source.name} can be read: {where}: {reason}"
        )
    return grid


def _pictures(batch: np.ndarray, views: Views, bands: Bands | None) -> list[np.ndarray]:
    """Views as people see them: of bands those that are drawn."""
    images = unnormalised(batch, views.mean, views.std)
    return images if bands is None else [image[:, :, list(bands.drawn)] for image in images]


def _column_names(views: Views) -> list[str]:
    n_global = views.n_global or len(views)
    names = [
        f"view {k + 1}" if k < n_global else f"local {k - n_global + 1}" for k in range(len(views))
    ]
    sizes = [view.size for view in views.recipes]
    if len(set(sizes)) == 1:
        return names
    return [f"{name}, {size} px" for name, size in zip(names, sizes, strict=True)]
