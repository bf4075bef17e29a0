"""Which ways to compute a step are worth measuring on this machine, and why others are not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from jessl.core import processor
from jessl.core.resources import usable_cores
from jessl.training.tuning.speed import Speed

# variables by which a user or torchrun fixes the number of threads
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
SETTINGS = ("precision", "channels_last", "compile", "fused_optimizer", "threads", "micro_batch")


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What may be changed.

    Attributes:
        plain: where the search begins: float32 and contiguous, but for what the user fixed.
        open: names of `SETTINGS` that the user left open and the machine has.
        reasons: why the machine lacks a setting, one line each.
    """

    plain: Speed
    open: frozenset[str]
    reasons: tuple[str, ...] = ()

    def memory_formats(self, best: Speed) -> Iterator[Speed]:
        """The other memory format."""
        if "channels_last" in self.open:
            yield replace(best, channels_last=True)

    def precisions(self, best: Speed) -> Iterator[Speed]:
        """bfloat16, also in channels_last where that did not pay in float32."""
        if "precision" in self.open:
            yield replace(best, precision="bfloat16")
            if "channels_last" in self.open and not best.channels_last:
                yield replace(best, precision="bfloat16", channels_last=True)

    def optimizers(self, best: Speed) -> Iterator[Speed]:
        """The fused update."""
        if "fused_optimizer" in self.open:
            yield replace(best, fused_optimizer=True)

    def threads(self, best: Speed) -> Iterator[Speed]:
        """Fewer threads for the network, which leaves cores to the loader."""
        if "threads" in self.open:
            for count in thread_counts(torch.get_num_threads(), usable_cores()):
                yield replace(best, threads=count)

    def compiled(self, best: Speed) -> Iterator[Speed]:
        """torch.compile."""
        if "compile" in self.open:
            yield replace(best, compile=True)


def search_space(
    plain: Speed, left_open: frozenset[str], *, device: torch.device, optimizer: str, world: int
) -> SearchSpace:
    """What of the settings that a user left open this machine can change.

    Args:
        plain: the settings to begin with.
        left_open: names of `SETTINGS` that the user did not fix.
        device: where the training computes.
        optimizer: its name; "lars" has no fused kernel.
        world: number of processes.
    """
    usable = set(left_open)
    reasons = []
    if "precision" in usable and not processor.computes_bfloat16(device):
        usable.discard("precision")
        kind = "GPU" if device.type == "cuda" else "processor"
        reasons.append(f"this {kind} does not compute in bfloat16")
    if "compile" in usable and not processor.can_compile(device):
        usable.discard("compile")
        reasons.append("no C++ compiler for torch.compile")
    if optimizer == "lars":
        usable.discard("fused_optimizer")
    if device.type != "cpu" or world > 1 or any(name in os.environ for name in _THREAD_VARIABLES):
        usable.discard("threads")
    if usable_cores() == torch.get_num_threads() == 1:
        usable.discard("threads")
        reasons.append("one core")
    if device.type != "cuda" or world > 1:  # where one process alone runs out, the others hang
        usable.discard("micro_batch")
    return SearchSpace(plain=plain, open=frozenset(usable), reasons=tuple(reasons))


def thread_counts(current: int, cores: int) -> list[int]:
    """Numbers of threads to try: as many as cores where there are more, one less, and half.

    Example:
        >>> thread_counts(8, 8), thread_counts(64, 1)
        ([7, 4], [1])
    """
    counts = dict.fromkeys((min(current, cores), cores - 1, cores // 2))
    return [n for n in counts if 1 <= n < current]
