"""Floating-point precision: the dtype of autocast, and a guard against reduced float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

from jessl.core.validation import check_choice

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def pick_precision(name: str, device: torch.device) -> torch.dtype | None:
    """The dtype of autocast; None for plain float32. `dtype_name` is its inverse.

    "auto" is bfloat16 on GPUs that compute in it and float32 elsewhere: on most CPUs bfloat16
    saves no time.

    Raises:
        ValueError: for another name, or float16 on the CPU.

    Example:
        >>> pick_precision("bfloat16", torch.device("cpu"))
        torch.bfloat16
    """
    check_choice("precision", name, PRECISIONS)
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else None
    if name == "float16" and device.type == "cpu":
        raise ValueError("precision: expected float32 or bfloat16 on the CPU, got float16")
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def dtype_name(dtype: torch.dtype | None) -> str:
    """The name of a dtype of autocast.

    Example:
        >>> dtype_name(None)
        'float32'
    """
    return "float32" if dtype is None else str(dtype).removeprefix("torch.")


class _Operator(Protocol):
    fp32_precision: str


def _operators() -> list[_Operator]:
    """The operators whose precision torch sets one by one; none before torch 2.9."""
    backends = (
        (torch.backends.cuda, ("matmul",)),
        (torch.backends.cudnn, ("conv", "rnn")),
        (torch.backends.mkldnn, ("matmul", "conv", "rnn")),
    )
    operators = [getattr(b, name, None) for b, names in backends for name in names]
    return [o for o in operators if o is not None and hasattr(o, "fp32_precision")]


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute matrix products and convolutions of float32 in float32 while the block lasts.

    TF32 (and bfloat16 in oneDNN) keep 10 (7) bits of the fraction. That rounding fills the null
    space that RankMe measures, and reorders nearest neighbours. The settings of the process are
    restored afterwards, whichever interface of torch set them: `set_float32_matmul_precision`,
    `allow_tf32` or `fp32_precision`.

    Example:
        >>> with full_float32():
        ...     z = encoder(images)
    """
    operators = _operators()
    before = [o.fp32_precision for o in operators]
    matmul, cudnn = _matmul_precision(), _cudnn_allows_tf32()
    try:
        # the older interface first: a reader of it must not see the two disagree
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        for operator in operators:
            operator.fp32_precision = "ieee"
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn
        for operator, value in zip(operators, before, strict=True):
            operator.fp32_precision = "none"  # inherited from its backend
            if operator.fp32_precision != value:
                operator.fp32_precision = value


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # refused where fp32_precision contradicts it
        return "highest" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "high"


def _cudnn_allows_tf32() -> bool:
    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:  # likewise
        cudnn = torch.backends.cudnn
        operators: list[_Operator] = [getattr(cudnn, name) for name in ("conv", "rnn")]
        return not all(o.fp32_precision == "tf32" for o in operators)
