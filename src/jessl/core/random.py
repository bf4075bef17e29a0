"""Randomness that leaves the caller's generators as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build modules from `seed` and restore torch's CPU generator afterwards.

    Example:
        with seeded(0):
            encoder = build_encoder("smallconv")
    """
    with torch.random.fork_rng(devices=[]):
        # modules are initialised on the CPU; torch.manual_seed would seed the GPUs as well
        torch.default_generator.manual_seed(seed)
        yield


def step_generator(seed: int, step: int) -> torch.Generator:
    """A CPU generator that depends on seed and step of a training only.

    It is the same on all processes and after a restart.
    """
    return torch.Generator().manual_seed(hash((seed, step)) % 2**63)
