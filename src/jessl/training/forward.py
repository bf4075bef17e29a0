"""The forward pass of a step: views to representations to the loss."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn

from jessl.objectives import Objective, Terms


def represent(
    encoder: Callable[[torch.Tensor], torch.Tensor], views: list[torch.Tensor]
) -> torch.Tensor:
    """Representations [views, batch, dim]; neighbouring views of one size go through together.

    Batch norm therefore sees all views of a batch and size (SimCLR); codes that encode each view
    alone (VICReg, BYOL) differ in the batch statistics.
    """
    batch = len(views[0])
    representations = []
    for _, group in itertools.groupby(views, key=lambda view: view.shape):
        same_size = list(group)
        encoded = encoder(torch.cat(same_size))
        representations.append(encoded.reshape(len(same_size), batch, -1))
    return representations[0] if len(representations) == 1 else torch.cat(representations)


class Forward(nn.Module):
    """All of a step's forward pass as one module: what DistributedDataParallel wraps."""

    def __init__(self, encoder: nn.Module, teacher: nn.Module | None, objective: Objective) -> None:
        super().__init__()
        self.encoder = encoder
        self.teacher = teacher
        self.objective = objective
        # what is called: the module, or its compiled form, which must not be a submodule of this
        self._runs: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"encoder": encoder}
        if teacher is not None:
            self._runs["teacher"] = teacher

    def run_by(self, make: Callable[[nn.Module], Callable[[torch.Tensor], torch.Tensor]]) -> None:
        """Call make(encoder) and make(teacher) instead of the modules (torch.compile)."""
        self._runs = {"encoder": make(self.encoder)}
        if self.teacher is not None:
            self._runs["teacher"] = make(self.teacher)

    def represent_student(self, views: list[torch.Tensor]) -> torch.Tensor:
        """Representations of all views by the encoder."""
        return represent(self._runs["encoder"], views)

    def represent_teacher(
        self, views: list[torch.Tensor], n_global: int | None
    ) -> torch.Tensor | None:
        """Representations of the global views by the teacher, None without one; no gradient."""
        if self.teacher is None:
            return None
        with torch.no_grad():
            return represent(self._runs["teacher"], views[:n_global])

    def forward(
        self,
        views: list[torch.Tensor],
        n_global: int | None,
        labels: torch.Tensor | None,
        targets: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """The loss to differentiate, the representations [views, batch, dim], and the parts."""
        student = self.represent_student(views)
        teacher = self.represent_teacher(views, n_global)
        terms = self.compare(student, teacher, n_global, labels, targets)
        return terms.total, student, terms.parts

    def compare(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor | None,
        n_global: int | None,
        labels: torch.Tensor | None,
        targets: torch.Tensor | None = None,
    ) -> Terms:
        """The objective's loss of representations."""
        used = labels if self.objective.uses_labels else None
        learned = targets if self.objective.target_dim else None
        return self.objective.loss(
            student, teacher, n_global=n_global, labels=used, targets=learned
        )
