"""The precision of a loss: float32 at least, also under autocast."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import torch

_P = ParamSpec("_P")
_HALF = (torch.float16, torch.bfloat16)


def full_precision(loss: Callable[_P, torch.Tensor]) -> Callable[_P, torch.Tensor]:
    """Compute a loss in float32 at least, also under autocast; float64 stays float64.

    Sums over a batch of exponentials and squares lose digits in half precision that the
    gradients need.
    """

    @functools.wraps(loss)
    def in_full_precision(*args: _P.args, **kwargs: _P.kwargs) -> torch.Tensor:
        raised = tuple(_raise_half(a) for a in args)
        options = {k: _raise_half(v) for k, v in kwargs.items()}
        tensors = [v for v in (*raised, *options.values()) if isinstance(v, torch.Tensor)]
        device = tensors[0].device.type if tensors else "cpu"
        with torch.autocast(device, enabled=False):
            return loss(*raised, **options)  # type: ignore[arg-type]

    return in_full_precision


def _raise_half(value: object) -> object:
    return raise_half(value) if isinstance(value, torch.Tensor) else value


def raise_half(x: torch.Tensor) -> torch.Tensor:
    """A tensor in float32 where it is in half precision, else as it is."""
    return x.float() if x.dtype in _HALF else x
