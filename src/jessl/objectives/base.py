"""What every objective is: heads and a loss that see representations only."""

from __future__ import annotations

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import nn


@dataclass(frozen=True)
class Terms:
    """A loss and what it is made of.

    Attributes:
        total: the scalar to differentiate.
        parts: named scalars, detached; their weighted sum need not be shown again.
    """

    total: torch.Tensor
    parts: dict[str, torch.Tensor]


class Objective(nn.Module, ABC):
    """Heads and loss of one method (an interface; its leaves are final).

    Attributes:
        uses_teacher: whether `loss` needs representations of a teacher, a slow average of the
            student.
        prevents_collapse: whether the loss itself makes a collapsed representation worse than a
            spread one.
    """

    uses_teacher: ClassVar[bool] = False
    prevents_collapse: ClassVar[bool] = True

    @abstractmethod
    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """Projector outputs [n, out] of representations [n, dim]: where RankMe is taken."""

    @abstractmethod
    def loss(self, student: torch.Tensor, teacher: torch.Tensor | None = None) -> Terms:
        """Loss of representations [views, batch, dim] of the student (and of the teacher)."""

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(student head, teacher head) pairs; the second follows the first slowly."""
        return []

    def project_views(self, representations: torch.Tensor) -> torch.Tensor:
        """[views, batch, dim] to [views, batch, out], all views in one pass of the projector.

        Batch norm therefore sees views together, as in SimCLR; codes that project each view
        alone (VICReg, BYOL) differ in the batch statistics.
        """
        views, batch, dim = representations.shape
        return self.project(representations.reshape(views * batch, dim)).reshape(views, batch, -1)


Loss = TypeVar("Loss", bound=Callable[..., torch.Tensor])


def full_precision(loss: Loss) -> Loss:
    """Compute a loss in float32 at least, also under autocast; float64 stays float64.

    Sums over a batch of exponentials and squares lose digits in half precision that the
    gradients need.
    """

    @functools.wraps(loss)
    def wrapped(*args: object, **options: object) -> torch.Tensor:
        args = tuple(_raised(a) for a in args)
        options = {k: _raised(v) for k, v in options.items()}
        given = (*args, *options.values())
        device = next((a.device.type for a in given if isinstance(a, torch.Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return loss(*args, **options)

    return wrapped  # type: ignore[return-value]


def _raised(value: object) -> object:
    half = (torch.float16, torch.bfloat16)
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in half else value


def same_shape(**tensors: torch.Tensor) -> None:
    """Refuse tensors that are not all of one shape [batch, dim].

    Raises:
        ValueError: naming the arguments and their shapes.
    """
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    if len(set(shapes.values())) > 1 or any(len(s) != 2 for s in shapes.values()):
        told = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ValueError(f"expected tensors of one shape [batch, dim], got {told}")


def mlp(dims: str, dim: int, *, last_bias: bool = False) -> nn.Sequential:
    """A multilayer perceptron: batch norm and ReLU after each layer but the last.

    Args:
        dims: widths of the layers, such as "8192-8192-2048".
        dim: width of the input.
        last_bias: whether the last layer has a bias (those before it have batch norm's).

    Raises:
        ValueError: as `widths_of`.
    """
    widths = [dim, *widths_of(dims)]
    layers: list[nn.Module] = []
    for before, width in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(before, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(True)]
    layers.append(nn.Linear(widths[-2], widths[-1], bias=last_bias))
    return nn.Sequential(*layers)


def widths_of(dims: str | int) -> list[int]:
    """The widths in "8192-8192-2048", or in the one number of a single layer.

    Raises:
        ValueError: when it is not a dash-separated list of positive integers.
    """
    parts = str(dims).split("-")
    if not all(p.isdigit() and int(p) for p in parts):
        raise ValueError(f"widths must look like 8192-8192-2048, got {dims!r}")
    return [int(p) for p in parts]


def projector_widths(dims: str | None, dim: int) -> str:
    """`dims`, or 4 dim - 4 dim - dim: the 8192-8192-2048 of RankMe's ResNet-50, to scale."""
    return dims or f"{4 * dim}-{4 * dim}-{dim}"


def unordered_pairs(views: int) -> Iterator[tuple[int, int]]:
    """All pairs of unlike views, each once."""
    if views < 2:
        raise ValueError(f"a joint-embedding loss needs at least 2 views, got {views}")
    return itertools.combinations(range(views), 2)


def mean_over_pairs(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], z: torch.Tensor
) -> torch.Tensor:
    """Mean of a loss of two views [batch, out] over all unordered pairs of z [views, ...]."""
    return torch.stack([loss(z[i], z[j]) for i, j in unordered_pairs(len(z))]).mean()
