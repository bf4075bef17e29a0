"""A batch of views, and the recipe of views that a loader takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from jessl.data.loading.batch_assembly import ViewRenderer

if TYPE_CHECKING:
    import torch


# images in a notebook
_SHOWN = 8


class ViewRecipe(Protocol):
    """What the loader needs of a recipe of views; `jessl.views.Views` is one."""

    def __len__(self) -> int: ...

    def renderer(
        self,
        *,
        as_uint8: bool = False,
        crops_only: bool = False,
        colour: Sequence[int] | None = None,
    ) -> ViewRenderer: ...

    def neutral_table(self, n: int) -> np.ndarray: ...

    def as_params(self, table: np.ndarray) -> list[dict[str, np.ndarray]]: ...

    def finish(self, crops: Sequence[torch.Tensor], table: np.ndarray) -> list[torch.Tensor]: ...

    def apply_on_device(self, images: torch.Tensor, table: np.ndarray) -> list[torch.Tensor]: ...


class RowTargets(Protocol):
    """Targets of the images of a source: rows of an array, or what is computed from one."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float32]: ...


@dataclass(frozen=True, repr=False)
class Batch:
    """Views of a batch of images.

    Attributes:
        views: k tensors [batch, 3, size, size]: float32, normalised, or with dtype="uint8" not
            normalised.
        ids: int64 [batch], stable ids of the images, on the CPU.
        labels: int64 [batch], -1 where missing, on the CPU; None when the source has none.
        params: for each view the parameters of its operations (`jessl.views.params`); None without
            return_params.
        targets: float32 [batch, width] on the CPU, by the loader's `targets`; None without.
    """

    views: list[torch.Tensor]
    ids: torch.Tensor
    labels: torch.Tensor | None
    params: list[dict[str, np.ndarray]] | None = None
    targets: torch.Tensor | None = None

    def __repr__(self) -> str:
        labels = "" if self.labels is None else ", labels"
        return f"Batch({len(self.ids)} images, {', '.join(self._shapes())}{labels})"

    def _repr_html_(self) -> str:
        """Shapes, and the first images: darkest value black, brightest white, if normalised."""
        from jessl.core.image_grid import draw_grid, inline_picture

        images = [f"{k + 1}" for k in range(min(_SHOWN, len(self.ids)))]
        rows = [[_picture(view[k]) for k in range(len(images))] for view in self.views]
        picture = inline_picture(draw_grid(rows, columns=images)) if images else ""
        return f"<p>{escape(repr(self))}</p>{picture}"

    def _shapes(self) -> list[str]:
        """Number, shape and type of the views; those of one shape together."""
        kinds = Counter((tuple(view.shape[1:]), str(view.dtype)) for view in self.views)
        return [
            f"{count} view{'' if count == 1 else 's'} of {' x '.join(map(str, shape))} "
            f"{dtype.removeprefix('torch.')}"
            for (shape, dtype), count in kinds.items()
        ]

    def to(self, device: str | torch.device) -> Batch:
        """The batch with all tensors on a device; Lightning calls this."""
        return replace(
            self,
            views=[x.to(device) for x in self.views],
            ids=self.ids.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            targets=None if self.targets is None else self.targets.to(device),
        )


def _picture(view: torch.Tensor) -> np.ndarray:
    """A view [c, h, w] as an image uint8 [h, w, c]."""
    x = view.detach().cpu().float().permute(1, 2, 0).numpy()
    if view.is_floating_point():
        x = (x - x.min()) * (255 / max(float(np.ptp(x)), 1e-6))
    return np.rint(x).astype(np.uint8)
