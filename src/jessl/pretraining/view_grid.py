"""A grid of images beside their views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image as PillowImage

from jessl.core.image_grid import draw_grid, inline_picture, unnormalised, write_grid
from jessl.core.validation import check_int
from jessl.data import Loader, Source, Subset, open_source
from jessl.data.sources.base import Bands
from jessl.pretraining.defaults import default_size
from jessl.views import Views
from jessl.views.captions import caption
from jessl.views.presets import is_file, preset

# side of an image in the picture: wide enough for its caption
_CELL_PX = 144


@dataclass(frozen=True, repr=False)
class ViewGrid:
    """Images beside their views; a notebook shows the picture.

    Attributes:
        views: the recipe.
        columns: what is in each column.
        rows: of each image the image and its views, uint8 or uint16 [h, w, c].
        captions: for each of them what was done, in pieces.
    """

    views: Views
    columns: list[str]
    rows: list[list[np.ndarray]]
    captions: list[list[list[str]]]

    def picture(self) -> PillowImage:
        """All of it as one RGB picture of Pillow."""
        return draw_grid(self.rows, columns=self.columns, captions=self.captions, cell_px=_CELL_PX)

    def save(self, path: str | Path) -> None:
        """Write the picture as a PNG file."""
        write_grid(path, self.rows, columns=self.columns, captions=self.captions, cell_px=_CELL_PX)

    def __repr__(self) -> str:
        return f"ViewGrid({len(self.rows)} images, {len(self.views)} views each)"

    def _repr_html_(self) -> str:
        return f"{inline_picture(self.picture())}{self.views._repr_html_()}"


def show_views(
    data: str | Path | Source,
    views: str | Views = "simclr",
    *,
    options: Mapping[str, float] | None = None,
    size: int | None = None,
    count: int = 6,
    seed: int = 0,
) -> ViewGrid:
    """A few images beside the augmented views that an encoder would be trained on.

    Example:
        jessl.show_views("photos", "vicreg")  # the last line of a cell shows the picture
        jessl.show_views("photos", jessl.views.presets.simclr(224)).save("views.png")

    Args:
        data: SRC, or a source.
        views: recipe of the views: a preset, a .toml or .json file, or `jessl.views.Views`.
        options: options of the preset, such as {"min_scale": 0.3}.
        size: side of the largest views in pixels, >= 8; None: by the recipe, or chosen from the
            images.
        count: number of images, >= 1.
        seed: random seed of the views.

    Raises:
        ValueError: for images or a recipe that cannot be opened, and when none of the images can
            be read.
    """
    check_int("count", count, 1)
    if size is not None:
        check_int("size", size, 8)
    source = data if isinstance(data, Source) else open_source(str(data))
    if isinstance(views, Views):
        if options:
            raise ValueError("options: expected none beside a recipe, which has them all")
        recipe = views if size is None else views.resized(size)
    else:
        if size is None and not is_file(views):
            size = default_size(source, torch.device("cpu"))
        recipe = preset(views, size, options or {})
    channels = 3 if source.bands is None else len(source.bands.names)
    if channels != len(recipe.mean):
        recipe = recipe.normalised((0.5,) * channels, (0.5,) * channels)
    return view_rows(source, recipe, seed=seed, count=count)


def view_rows(source: Source, views: Views, *, seed: int, count: int = 6) -> ViewGrid:
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
    grid = ViewGrid(views, ["image"], [], [])
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
