"""The settings that change the speed of a training and not its method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from jessl.core.precision import pick_precision
from jessl.training.step import Trainer

# modules and whether the update is one fused kernel -> their optimizer
OptimizerFactory = Callable[[Iterable[nn.Module], bool], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How a step is computed.

    Example:
        str(Speed(precision="bfloat16", channels_last=True))  # "bfloat16, channels-last"

    Attributes:
        precision: of autocast: "float32" (none), "bfloat16" or "float16".
        channels_last: memory format of the encoder.
        compile: by torch.compile.
        fused_optimizer: update all parameters by one kernel.
        threads: of an operation on the CPU; None: as the process has it.
        micro_batch: images that go through the encoder at a time; None: all.
    """

    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False
    fused_optimizer: bool = False
    threads: int | None = None
    micro_batch: int | None = None

    def __str__(self) -> str:
        parts = [
            self.precision,
            "channels-last" if self.channels_last else "",
            "fused optimizer" if self.fused_optimizer else "",
            "" if self.threads is None else f"{self.threads} thread{'s' * (self.threads > 1)}",
            "compiled" if self.compile else "",
            "" if self.micro_batch is None else f"{self.micro_batch} images at a time",
        ]
        return ", ".join(part for part in parts if part)


def apply_speed(trainer: Trainer, speed: Speed, optimizer: OptimizerFactory) -> None:
    """Let a trainer that has taken no step compute like that; threads and compilation are left.

    The result is that of a trainer that was built so, to the bit.
    """
    trainer.precision = pick_precision(speed.precision, trainer.device)
    trainer.micro_batch = speed.micro_batch
    layout = torch.channels_last if speed.channels_last else torch.contiguous_format
    averaged = [] if trainer.averaged is None else trainer.averaged.modules.values()
    for module in (trainer.encoder, trainer.teacher, *averaged):
        if module is not None:
            module.to(memory_format=layout)
    trainer.optimizer = optimizer([trainer.encoder, trainer.objective], speed.fused_optimizer)
