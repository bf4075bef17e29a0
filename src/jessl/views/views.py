"""Views: a recipe that can be sampled and applied."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jessl.core.deprecation import RenamedMember, renamed_arguments
from jessl.core.notebook import html_table
from jessl.views.apply import CpuRenderer, apply_views
from jessl.views.description import describe_view
from jessl.views.params import Params, as_params, as_table, neutral_table
from jessl.views.recipe import ViewRecipes
from jessl.views.sampling import sample_table

if TYPE_CHECKING:
    import torch


class Views(ViewRecipes):
    """The recipe of k views of an image, with the functions that sample and apply it.

    `sample` draws the parameters and `apply` uses them; nothing else is random. Fields and checks
    are those of `ViewRecipes`.

    Example:
        views = Views((View(size=32), View(size=32, blur=0.5)))
        params = views.sample(ids, epoch=0, seed=0, heights=heights, widths=widths)
        first, second = views.apply(images, params)
    """

    def __str__(self) -> str:
        """In one line: 2 views of an image: 32 px, random crop of 8 to 100 % of the area, ..."""
        rows = self._rows()
        return f"{_count(len(self))} of an image: " + "; ".join(
            text if len(rows) == 1 else f"{name}: {text}" for name, text in rows
        )

    def _repr_html_(self) -> str:
        return f"<p>{_count(len(self))} of an image</p>{html_table(self._rows())}"

    def _rows(self) -> list[tuple[str, str]]:
        """(views, their recipe in words); views next to each other of one recipe are a row."""
        rows: list[tuple[str, str]] = []
        first = 0
        for recipe, same in itertools.groupby(self.recipes):
            last = first + len(list(same))
            name = f"view {last}" if last == first + 1 else f"views {first + 1} to {last}"
            rows.append((name, ", ".join(describe_view(recipe))))
            first = last
        return rows

    def sample(
        self,
        ids: npt.ArrayLike,
        epoch: int,
        seed: int,
        heights: npt.ArrayLike,
        widths: npt.ArrayLike,
    ) -> list[Params]:
        """Sample the parameters of all views of n images.

        Args:
            ids: int64 [n], stable ids of the images.
            epoch, seed: the draw depends on these and on the ids.
            heights, widths: int [n], or one for all: sizes of the images, pixels, at least 1.

        Returns:
            A dictionary for each view; names and units are in `jessl.views.params`.

        Raises:
            ValueError: for sizes below 1, or a number of sizes that differs from that of the ids.
        """
        return as_params(sample_table(self, ids, epoch, seed, heights, widths))

    def apply(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        params: Sequence[Params],
        *,
        colour: Sequence[int] | None = None,
    ) -> list[torch.Tensor]:
        """Make the views on the CPU.

        Args:
            images: uint8 or uint16 [n, h, w, c] or n arrays [h, w, c], of as many channels as
                `mean` has numbers, up to 16; with three numbers one channel becomes three.
            params: parameters from `sample` for these images; a missing parameter is neutral.
            colour: the channels that are red, green and blue, on which saturation, hue and
                grayscale act; (): none are. None: the three where there are three.

        Returns:
            k tensors float32 [n, c, size, size], normalised.

        Raises:
            ValueError: for parameters that do not fit the images, or images of unlike channels.
        """
        return apply_views(self, images, as_table(params), colour)

    named = RenamedMember("as_params")
    painter = RenamedMember("renderer")
    blank = RenamedMember("neutral_table")

    @renamed_arguments(octets="as_uint8")
    def renderer(
        self,
        *,
        as_uint8: bool = False,
        crops_only: bool = False,
        colour: Sequence[int] | None = None,
    ) -> CpuRenderer:
        """A renderer of this recipe, for loops that fill their own buffers; see `CpuRenderer`."""
        return CpuRenderer(self, as_uint8=as_uint8, crops_only=crops_only, colour=colour)

    def neutral_table(self, n: int) -> np.ndarray:
        """A parameter table for n images before sampling: float64 [k, n, columns]."""
        return neutral_table(len(self), n)

    def as_params(self, table: np.ndarray) -> list[Params]:
        """A parameter table as a dictionary for each view."""
        return as_params(table)

    def finish(self, crops: Sequence[torch.Tensor], table: np.ndarray) -> list[torch.Tensor]:
        """Finish the crops of `renderer(crops_only=True)` on their device.

        Args:
            crops: k tensors uint8 [n, c, size, size].
            table: float64 [k, n, columns], with which the crops were made.

        Returns:
            k tensors float32 [n, c, size, size], normalised; see `jessl.views.gpu`.
        """
        from jessl.views.gpu.apply import finish_view

        return [
            finish_view(view, x, rows, self.mean, self.std)
            for view, x, rows in zip(self.recipes, crops, table, strict=True)
        ]

    def apply_on_device(self, images: torch.Tensor, table: np.ndarray) -> list[torch.Tensor]:
        """Make the views of images on their device.

        Args:
            images: uint8 [n, h, w, c].
            table: float64 [k, n, columns], from `CpuRenderer.draw`.

        Returns:
            k tensors float32 [n, c, size, size], normalised; see `jessl.views.gpu`.
        """
        from jessl.views.gpu.apply import apply_view

        return [
            apply_view(view, images, rows, self.mean, self.std)
            for view, rows in zip(self.recipes, table, strict=True)
        ]


def _count(views: int) -> str:
    return f"{views} view{'' if views == 1 else 's'}"
