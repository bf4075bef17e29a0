"""Which device computes, and with which algorithms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from jessl.core.validation import check_choice


def pick_device(name: str) -> torch.device:
    """The device `name`: "auto" is the first GPU if there is one, else the CPU.

    Raises:
        ValueError: for another name, or a GPU that does not exist.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    check_choice("device", kind, ("auto", "cpu", "cuda"))
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if not number.isdigit() and number:
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}")
    if int(number or 0) >= count:
        raise ValueError(f"device: expected one of {count} GPUs that torch sees, got {name!r}")
    return torch.device(name)


def to_device(x: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """A copy of a CPU tensor on `device`, for the hot loop: the host does not wait for a GPU.

    From ordinary memory a copy waits until the GPU has done all that is queued before it, also
    with non_blocking. The page-locked copy made here is freed by torch once it has been read.

    Example:
        >>> to_device(torch.arange(3), "cpu")
        tensor([0, 1, 2])
    """
    if torch.device(device).type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


@contextmanager
def intra_op_threads(count: int | None) -> Iterator[None]:
    """Let torch compute an operation with this many threads while the block lasts.

    Args:
        count: None changes nothing.
    """
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Use only algorithms that reproduce their result to the bit while the block lasts.

    Args:
        enabled: False changes nothing.

    Raises:
        RuntimeError: by torch, for an operation without such an algorithm.
    """
    if not enabled:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
