"""The interface of an objective: heads and a loss that see representations only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from jessl.objectives._checks import check_view_count
from jessl.objectives._heads import Head


@dataclass(frozen=True)
class Terms:
    """A loss and its parts.

    Attributes:
        total: the scalar to differentiate. On several processes the mean of their totals is the
            loss of the whole batch (see `jessl.core.collectives`).
        parts: named scalars, detached, to record; they need not add up to the total.
    """

    total: torch.Tensor
    parts: dict[str, torch.Tensor]


@dataclass(frozen=True)
class TrainingPosition:
    """The position of a step in a training, for whatever an objective schedules or draws.

    Attributes:
        step: updates done before this one.
        total_steps: updates of the whole training.
        steps_per_epoch: > 0.
        seed: of the training.
    """

    step: int
    total_steps: int
    steps_per_epoch: int
    seed: int = 0

    @property
    def epoch(self) -> float:
        """Epochs done before this step, with fraction."""
        return self.step / self.steps_per_epoch


class Representations(NamedTuple):
    """The representations of one batch: the arguments of every loss.

    Attributes:
        student: [views, batch, dim]; on several processes each has its share of the batch.
        teacher: [n_global, batch, dim] of the teacher, which sees the global views only; None
            where there is no teacher.
        n_global: the first n_global views are global crops, the others local ones, which are
            compared with global ones only; None: all are global.
        labels: int64 [batch], -1 where missing; None where there are none.
        targets: [batch, target_dim], fixed for each image, such as features of a published
            teacher; None where there are none.
    """

    student: torch.Tensor
    teacher: torch.Tensor | None = None
    n_global: int | None = None
    labels: torch.Tensor | None = None
    targets: torch.Tensor | None = None

    def require_teacher(self) -> torch.Tensor:
        """The teacher's representations.

        Raises:
            ValueError: where there are none.
        """
        if self.teacher is None:
            raise ValueError("teacher: expected representations of the global views, got None")
        return self.teacher

    def require_labels(self) -> torch.Tensor:
        """The labels of the batch.

        Raises:
            ValueError: where there are none.
        """
        if self.labels is None:
            raise ValueError("labels: expected the labels of the batch, got None")
        return self.labels

    def require_targets(self, dim: int) -> torch.Tensor:
        """The targets of the batch, `dim` wide.

        Raises:
            ValueError: where there are none, or of another shape.
        """
        shape = (self.student.shape[1], dim)
        if self.targets is None or self.targets.shape != shape:
            actual = None if self.targets is None else list(self.targets.shape)
            raise ValueError(f"targets: expected a tensor {list(shape)}, got {actual}")
        return self.targets


class Objective(nn.Module, ABC):
    """Heads and loss of one method: an interface. Methods are its final subclasses.

    A method implements `project` and `compute_loss`. A training calls `begin_step` before each
    step, `loss` in its forward pass, `after_backward` once the gradients are computed, and then
    updates the parameters.

    Example:
        objective = build_objective("vicreg", 512)
        terms = objective.loss(representations)  # [2, 256, 512]
        terms.total.backward()

    Attributes:
        uses_teacher: whether `loss` needs representations of a teacher, a slow average of the
            student.
        uses_labels: whether `loss` needs labels.
        classifies: whether it has a classifier of the labels (`classify`).
        prevents_collapse: whether the loss itself makes a collapsed representation worse than a
            spread one.
        raises_rank: whether the loss by itself drives the covariance of the projector's outputs
            towards full rank, so that RankMe there follows the weights of the loss.
        projector: the head that `project` runs through.
        least_views: views of an image that `loss` needs.
        pool: the last `pool` images of the global batch are negatives for all others, and
            nothing else.
        target_dim: width of the targets that `loss` needs for each image; 0: it needs none.
    """

    uses_teacher: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = False
    classifies: ClassVar[bool] = False
    prevents_collapse: ClassVar[bool] = True
    raises_rank: ClassVar[bool] = False
    least_views: ClassVar[int] = 2
    pool: int = 0
    target_dim: int = 0
    projector: Head

    @abstractmethod
    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """Projector outputs [n, out] of representations [n, dim]: where RankMe is taken."""

    def loss(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor | None = None,
        *,
        n_global: int | None = None,
        labels: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
    ) -> Terms:
        """Compute the loss of representations; the arguments are those of `Representations`.

        Args:
            student: [views, batch, dim].
            teacher: [n_global, batch, dim], where `uses_teacher`.
            n_global: number of global views, the first ones; None: all.
            labels: int64 [batch], -1 where missing, where `uses_labels`.
            targets: [batch, target_dim], where `target_dim` is not 0.

        Raises:
            ValueError: for fewer than `least_views` views, a missing teacher, missing labels or
                targets, or a batch that the method cannot use.
        """
        check_view_count(len(student), self.least_views)
        return self.compute_loss(Representations(student, teacher, n_global, labels, targets))

    @abstractmethod
    def compute_loss(self, batch: Representations) -> Terms:
        """Loss of a batch with at least `least_views` views; arguments and errors as in `loss`."""

    def classify(self, representations: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of representations [n, dim], where `classifies`."""
        raise NotImplementedError(f"{type(self).__name__} has no classifier")

    def layers(self) -> dict[str, nn.Module]:
        """Modules that `project` runs through and whose outputs are layers to probe, by name.

        "projector" is the last of them: its output is that of `project`.
        """
        if isinstance(self.projector, Head):
            return self.projector.layers("projector")
        return {"projector": self.projector}  # any module, of an objective of another package

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs (student head, teacher head); the second is a moving average of the first."""
        return []

    def load_start(self) -> None:
        """Called before the first step of a new training: load weights that options name."""

    def begin_step(self, position: TrainingPosition) -> None:
        """Called before each step: set whatever is scheduled or drawn anew."""

    def after_backward(self) -> None:
        """Called after each backward pass, before the gradients are used."""
