"""What every objective is: heads and a loss that see representations only."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.core.collectives import gather

if TYPE_CHECKING:
    from jessl.objectives._heads import Head


@dataclass(frozen=True)
class Terms:
    """A loss and what it is made of.

    Attributes:
        total: the scalar to differentiate. On several processes the mean of their totals is the
            loss of the whole batch (see `jessl.core.collectives`).
        parts: named scalars, detached; their weighted sum need not be shown again.
    """

    total: torch.Tensor
    parts: dict[str, torch.Tensor]


@dataclass(frozen=True)
class TrainingPosition:
    """Where a training is, for what an objective schedules.

    Attributes:
        step: updates done before this one; total_steps: of the training.
        steps_per_epoch: > 0.
        seed: of the training.
    """

    step: int
    total_steps: int
    steps_per_epoch: int
    seed: int = 0

    @property
    def epoch(self) -> float:
        """Epochs done."""
        return self.step / self.steps_per_epoch


class Objective(nn.Module, ABC):
    """Heads and loss of one method (an interface; its leaves are final).

    Attributes:
        uses_teacher: whether `loss` needs representations of a teacher, a slow average of the
            student.
        uses_labels: whether `loss` needs labels.
        prevents_collapse: whether the loss itself makes a collapsed representation worse than a
            spread one.
        raises_rank: whether the loss by itself drives the covariance of the projector's outputs
            towards full rank, so that RankMe there follows the weights of the loss.
        projector: the head that `project` runs through.
        least_views: views of an image that `loss` needs.
        pool: the last so many images of the global batch are negatives for all others, and
            nothing else.
    """

    uses_teacher: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = False
    prevents_collapse: ClassVar[bool] = True
    raises_rank: ClassVar[bool] = False
    least_views: ClassVar[int] = 2
    pool: int = 0
    projector: Head

    @abstractmethod
    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """Projector outputs [n, out] of representations [n, dim]: where RankMe is taken."""

    @abstractmethod
    def loss(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor | None = None,
        *,
        n_global: int | None = None,
        labels: torch.Tensor | None = None,
    ) -> Terms:
        """Loss of representations.

        Args:
            student: [views, batch, dim]; on several processes each has its share of the batch.
            teacher: [n_global, batch, dim] of the teacher, which sees the global views only.
            n_global: the first so many views are global crops, the others local ones that are
                compared with global ones only; None: all are global.
            labels: int64 [batch], -1 where missing.
        """

    def layers(self) -> dict[str, nn.Module]:
        """Modules that `project` runs through and whose outputs are layers to probe, by name.

        "projector" is the last of them: its output is what `project` gives.
        """
        return self.projector.layers("projector")

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(student head, teacher head) pairs; the second follows the first slowly."""
        return []

    def begin_step(self, moment: TrainingPosition) -> None:
        """Told before each step; what is scheduled or drawn anew is set here."""

    def after_backward(self) -> None:
        """Told when the gradients are there, before they are used."""


Loss = TypeVar("Loss", bound=Callable[..., torch.Tensor])


def full_precision(loss: Loss) -> Loss:
    """Compute a loss in float32 at least, also under autocast; float64 stays float64.

    Sums over a batch of exponentials and squares lose digits in half precision that the
    gradients need.
    """

    @functools.wraps(loss)
    def wrapped(*args: object, **options: object) -> torch.Tensor:
        args = tuple(_raised(a) for a in args)
        options = {k: _raised(v) for k, v in options.items()}
        given = (*args, *options.values())
        device = next((a.device.type for a in given if isinstance(a, torch.Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return loss(*args, **options)

    return wrapped  # type: ignore[return-value]


def _raised(value: object) -> object:
    half = (torch.float16, torch.bfloat16)
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in half else value


def whole_batch(z: torch.Tensor) -> torch.Tensor:
    """[views, batch of this process, out] to [views, global batch, out], float32 at least."""
    raised = _raised(z)
    assert isinstance(raised, torch.Tensor)
    return gather(raised, dim=1)


def same_shape(**tensors: torch.Tensor) -> None:
    """Refuse tensors that are not all of one shape [batch, dim].

    Raises:
        ValueError: naming the arguments and their shapes.
    """
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    if len(set(shapes.values())) > 1 or any(len(s) != 2 for s in shapes.values()):
        told = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ValueError(f"expected tensors of one shape [batch, dim], got {told}")


def view_stacks(student: torch.Tensor, teacher: torch.Tensor) -> None:
    """Refuse anything but [views, batch, dim] and [n_global, batch, dim] of the same images.

    Raises:
        ValueError: naming the shapes, or fewer than two views.
    """
    s, t = list(student.shape), list(teacher.shape)
    if len(s) != 3 or len(t) != 3 or s[1:] != t[1:] or t[0] > s[0]:
        raise ValueError(
            f"expected student [views, batch, dim] and teacher [global views, batch, dim], got "
            f"{s} and {t}"
        )
    enough_views(s[0])


def enough_views(views: int) -> None:
    """Refuse a single view.

    Raises:
        ValueError: saying so.
    """
    if views < 2:
        raise ValueError(f"a joint-embedding loss needs at least 2 views, got {views}")


def unordered_pairs(views: int, n_global: int | None = None) -> list[tuple[int, int]]:
    """All pairs of unlike views of which one at least is global, each once, the global first."""
    enough_views(views)
    most = views if n_global is None else n_global
    return [(i, j) for i in range(most) for j in range(i + 1, views)]


def ordered_pairs(views: int, n_global: int | None = None) -> list[tuple[int, int]]:
    """All pairs (student view, teacher view) of unlike views, the teacher's a global one."""
    enough_views(views)
    most = views if n_global is None else n_global
    return [(i, j) for i in range(views) for j in range(most) if i != j]


def mean_over_pairs(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    z: torch.Tensor,
    n_global: int | None = None,
) -> torch.Tensor:
    """Mean of a loss of two views [batch, out] over the unordered pairs of z [views, ...]."""
    return torch.stack([loss(z[i], z[j]) for i, j in unordered_pairs(len(z), n_global)]).mean()


@full_precision
def mean_cross_entropy(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of softmax(logits) against targets, mean over batch and unlike views.

    Args:
        targets: distributions [global views, batch, classes], of the first views.
        logits: [views, batch, classes], at least 2 views.
    """
    agreement = torch.einsum("ibk,jbk->ij", F.log_softmax(logits, dim=-1), targets)
    unlike = ~torch.eye(*agreement.shape, dtype=torch.bool, device=agreement.device)
    # where, not a product: the left out might be infinite
    kept = torch.where(unlike, agreement, agreement.new_zeros(()))
    return -kept.sum() / (logits.shape[1] * (agreement.numel() - min(agreement.shape)))
