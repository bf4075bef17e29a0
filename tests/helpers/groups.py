"""Two processes that compute together, for the tests; each with one thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch import multiprocessing as mp

from helpers.processes import preload

WORLD = 2


def together(work: Callable[[int], Any], folder: Path) -> list[Any]:
    """What `work(rank)` gives on each of two gloo processes; a function at the top of a module."""
    preload()
    arguments = (work, str(folder), dict(os.environ))
    mp.start_processes(_run, args=arguments, nprocs=WORLD, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


def _run(rank: int, work: Callable[[int], Any], folder: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the fork server has that of its start
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORLD
    )
    try:
        torch.save(work(rank), f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()
