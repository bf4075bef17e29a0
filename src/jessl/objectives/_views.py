"""Views of a batch: gathered from all processes, paired, and compared."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from jessl.core.collectives import gather
from jessl.objectives._checks import check_view_count
from jessl.objectives._precision import full_precision, raise_half


def gather_batch(z: torch.Tensor) -> torch.Tensor:
    """[views, batch of this process, out] to [views, global batch, out], float32 at least."""
    return gather(raise_half(z), dim=1)


def unordered_pairs(views: int, n_global: int | None = None) -> list[tuple[int, int]]:
    """All pairs of unlike views of which at least one is global, each once, the global one first.

    Example:
        unordered_pairs(3, 1)  # [(0, 1), (0, 2)]
    """
    check_view_count(views)
    first_local = views if n_global is None else n_global
    return [(i, j) for i in range(first_local) for j in range(i + 1, views)]


def ordered_pairs(views: int, n_global: int | None = None) -> list[tuple[int, int]]:
    """All pairs (student view, teacher view) of unlike views; the teacher's view is global.

    Example:
        ordered_pairs(3, 1)  # [(1, 0), (2, 0)]
    """
    check_view_count(views)
    first_local = views if n_global is None else n_global
    return [(i, j) for i in range(views) for j in range(first_local) if i != j]


def mean_over_pairs(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    z: torch.Tensor,
    n_global: int | None = None,
) -> torch.Tensor:
    """Mean of a loss of two views [batch, out] over the unordered pairs of z [views, ...]."""
    return torch.stack([loss(z[i], z[j]) for i, j in unordered_pairs(len(z), n_global)]).mean()


@full_precision
def distance_to_global_mean(z: torch.Tensor, n_global: int | None) -> torch.Tensor:
    """Squared distance of z [views, batch, dim] from the mean of its image's global views.

    Convention (the codes of LeJEPA's and VISReg's authors): the mean over views, batch and dim,
    and gradients through the mean as well; LeJEPA's equation has the sum over dim.
    """
    return (z - z[:n_global].mean(dim=0)).square().mean()


@full_precision
def mean_cross_entropy(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of softmax(logits) against targets, mean over the batch and unlike views.

    Args:
        targets: distributions [global views, batch, classes], of the first views.
        logits: [views, batch, classes], at least 2 views.
    """
    agreement = torch.einsum("ibk,jbk->ij", F.log_softmax(logits, dim=-1), targets)
    unlike = ~torch.eye(*agreement.shape, dtype=torch.bool, device=agreement.device)
    # where, not a product: entries on the diagonal may be infinite
    off_diagonal = torch.where(unlike, agreement, agreement.new_zeros(()))
    return -off_diagonal.sum() / (logits.shape[1] * (agreement.numel() - min(agreement.shape)))
