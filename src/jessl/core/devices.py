"""Which device computes, and with which algorithms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from jessl.core.validation import check_choice


def pick_device(name: str) -> torch.device:
    """The device `name`: "auto" is the first GPU where there is one, else the CPU.

    Raises:
        ValueError: for another name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    check_choice("device", kind, ("auto", "cpu", "cuda"))
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if not number.isdigit() and number:
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}")
    if int(number or 0) >= count:
        raise ValueError(f"device {name!r} is not there: torch sees {count} GPUs")
    return torch.device(name)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Only algorithms that give the same bits again, while the block lasts.

    Raises:
        RuntimeError: by torch, in a step that has no such algorithm.
    """
    if not wanted:
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
