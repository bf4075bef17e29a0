"""A batch of views, and the recipe of views that a loader takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from jessl.data.loading.batch_assembly import ViewRenderer

if TYPE_CHECKING:
    import torch


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


@dataclass(frozen=True)
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

    def to(self, device: str | torch.device) -> Batch:
        """The batch with all tensors on a device; Lightning calls this."""
        return replace(
            self,
            views=[x.to(device) for x in self.views],
            ids=self.ids.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            targets=None if self.targets is None else self.targets.to(device),
        )
