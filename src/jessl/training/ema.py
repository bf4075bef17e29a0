"""Slow copies: a teacher that follows its student, and an average of the weights to keep."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def teacher_of(student: Module) -> Module:
    """A copy of the student that takes no gradient."""
    return copy.deepcopy(student).requires_grad_(False)


@torch.no_grad()
def ema_update(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """teacher = momentum x teacher + (1 - momentum) x student, for parameters.

    Buffers (running statistics) are left alone: the teacher keeps its own from its own inputs.
    """
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)


class AveragedWeights:
    """Exponential moving averages of the weights of modules, which are evaluated and kept.

    The momentum of update t (from 0) is min(momentum, (1 + t) / (10 + t)), so that the weights of
    the start do not remain in the average of a short training (the rule of TensorFlow's
    ExponentialMovingAverage with num_updates). Running statistics are averaged as the weights are;
    whole numbers are copied.

    Example:
        averaged = AveragedWeights({"encoder": encoder}, momentum=0.999)
        averaged.update(step)
        averaged.modules["encoder"]

    Args:
        modules: that are trained.
        momentum: in [0, 1).

    Attributes:
        modules: the averages, by the same names, in evaluation mode.
    """

    def __init__(self, modules: Mapping[str, nn.Module], momentum: float) -> None:
        self.trained = dict(modules)
        self.modules = {name: teacher_of(module).eval() for name, module in modules.items()}
        self._momentum = momentum

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take over the weights after update `step`, counted from 0."""
        weight = 1 - min(self._momentum, (1 + step) / (10 + step))
        for name, slow in self.modules.items():
            fast = self.trained[name].state_dict()
            for key, value in slow.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(fast[key], weight)
                else:
                    value.copy_(fast[key])

    def trained_weights(self) -> dict[str, dict[str, torch.Tensor]]:
        """The tensors of the modules that are trained: by module, then by name."""
        return {
            name: {k: v.detach().cpu() for k, v in module.state_dict().items()}
            for name, module in self.trained.items()
        }

    def load_trained_weights(self, tensors: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Load what `trained_weights` returned."""
        for name, module in self.trained.items():
            module.load_state_dict(dict(tensors[name]))
