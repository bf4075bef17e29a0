"""Heads: the layers between a representation and a loss, each described by one string."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from jessl.objectives._precision import full_precision

_FORMS = "8192-8192-2048, linear, mlp or identity"


class Head(nn.Sequential):
    """Layers from [n, dim] to [n, out].

    Attributes:
        out: width of the output.
        ends: positions of the layers that end a block (a ReLU, or the last layer).
    """

    def __init__(self, layers: list[nn.Module], *, out: int, ends: list[int]) -> None:
        super().__init__(*layers)
        self.out = out
        self.ends = ends

    def layers(self, name: str) -> dict[str, nn.Module]:
        """Modules whose outputs are the head's layers: NAME.1, NAME.2, ..., and NAME, the last."""
        inner = {f"{name}.{k}": self[at] for k, at in enumerate(self.ends[:-1], 1)}
        # the head itself is its last layer; an identity head has no other
        return {**inner, name: self}


def build_head(
    spec: str | int | None,
    dim: int,
    default: str,
    *,
    last_bias: bool = False,
    last_norm: bool = False,
) -> Head:
    """Build the head that a string describes.

    Example:
        build_head("8192-8192-2048", 512, "512-128")  # three linear layers
        build_head("linear", 512, "512-128")  # one linear layer to 128

    Args:
        spec: widths of a multilayer perceptron such as "8192-8192-2048"; one width: a linear
            layer; "linear": a linear layer to the last width of `default`; "identity": nothing;
            "mlp" or None: `default`.
        dim: width of the input.
        default: widths, as in `spec`.
        last_bias: whether the last layer has a bias (those before it have batch norm's).
        last_norm: whether batch norm follows the last layer; in evaluation a linear head with it
            is an affine map.

    Raises:
        ValueError: for a string that is none of these.
    """
    if spec == "identity":
        return Head([], out=dim, ends=[])
    widths = parse_widths(default if spec in (None, "mlp", "linear") else spec)
    if spec == "linear":
        widths = widths[-1:]
    layers: list[nn.Module] = []
    ends = []
    for before, width in itertools.pairwise([dim, *widths[:-1]]):
        layers += [nn.Linear(before, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(True)]
        ends.append(len(layers) - 1)
    layers.append(nn.Linear([dim, *widths][-2], widths[-1], bias=last_bias))
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1]))
    ends.append(len(layers) - 1)
    return Head(layers, out=widths[-1], ends=ends)


def parse_widths(spec: str | int) -> list[int]:
    """The widths in "8192-8192-2048", or in the one number of a single layer.

    Raises:
        ValueError: when it is not a dash-separated list of positive integers.
    """
    parts = str(spec).split("-")
    if not all(p.isdigit() and int(p) for p in parts):
        raise ValueError(f"head: expected {_FORMS}, got {spec!r}")
    return [int(p) for p in parts]


def expander_widths(dim: int) -> str:
    """4 dim - 4 dim - dim: the 8192-8192-2048 of RankMe's ResNet-50, to scale."""
    return f"{4 * dim}-{4 * dim}-{dim}"


def apply_to_views(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A module of rows on [views, batch, dim], all views in one pass: [views, batch, out].

    Batch norm therefore sees all views together, as in SimCLR; implementations that project each
    view alone (VICReg, BYOL) have other batch statistics.
    """
    views, batch, dim = x.shape
    return module(x.reshape(views * batch, dim)).reshape(views, batch, -1)


def apply_by_crop(module: nn.Module, x: torch.Tensor, n_global: int | None) -> torch.Tensor:
    """A module of rows on [views, batch, dim], with one pass for global and one for local views.

    Batch norm then mixes no local view into the global ones, from which targets are made. In
    training its running statistics give both passes equal weight, however many views are in each.

    Returns:
        [views, batch, out].
    """
    if n_global is None or n_global >= len(x):
        return apply_to_views(module, x)
    return torch.cat([apply_to_views(module, part) for part in (x[:n_global], x[n_global:])])


class Prototypes(nn.Module):
    """Cosines of [..., dim] with `count` learned directions: [..., count].

    The directions are the rows of `weight`, divided by their length at each use: weight norm with
    the length fixed at 1. They start at length 1, in random directions.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        if count < 2:
            raise ValueError(f"prototypes: expected at least 2, got {count}")
        self.weight = nn.Parameter(F.normalize(torch.randn(count, dim), dim=1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Cosines, in float32 at least."""
        return _cosines(z, self.weight)


@full_precision
def _cosines(z: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.normalize(z, dim=-1) @ F.normalize(weight, dim=1).T
