"""A teacher that follows its student slowly."""

from __future__ import annotations

import copy
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
