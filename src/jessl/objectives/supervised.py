"""The supervised counterpart: cross-entropy of labels on the same encoder.

Its training error estimates the approximation error of the risk decomposition (Dubois, Hashimoto,
Liang, Evaluating Self-Supervised Learning via Risk Decomposition, ICML 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from jessl.core import collectives
from jessl.objectives._base import Objective, Representations, Terms
from jessl.objectives._checks import check_at_least
from jessl.objectives._heads import apply_to_views, build_head, expander_widths
from jessl.objectives._linear_file import load_linear
from jessl.objectives._precision import full_precision

__all__ = ["Supervised", "SupervisedConfig", "supervised"]

# the label of an image without one
_MISSING = -1


@full_precision
def supervised(
    logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy of labels, mean over the views of the labelled images.

    Convention: natural logarithms; the mean is over the labelled images of all processes: each
    process returns its sum times the number of processes over the common count, so that the mean
    of the processes is the loss of the whole batch, and 0 where nothing is labelled.

    Example:
        supervised(torch.randn(2, 64, 10), torch.randint(10, (64,)))

    Args:
        logits: [views, batch, classes].
        labels: int64 [batch]; -1 where missing.
        label_smoothing: share of the target spread over all classes, from 0 to less than 1.

    Raises:
        ValueError: for other shapes, and (of labels on the CPU, not in a compiled graph) for a
            label that is neither -1 nor a class.
    """
    _check_arguments(logits, labels)
    spread = labels.expand(len(logits), -1).flatten()
    total = F.cross_entropy(
        logits.flatten(0, 1),
        spread,
        ignore_index=_MISSING,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return _share(total, spread)


def _share(total: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A sum over this process's labelled rows as its share of the mean over all processes'."""
    count = collectives.all_reduce_sum((labels != _MISSING).sum().to(total.dtype))
    return total * collectives.world() / count.clamp_min(1)


def _check_arguments(logits: torch.Tensor, labels: torch.Tensor) -> None:
    if logits.ndim != 3 or labels.shape != logits.shape[1:2]:
        raise ValueError(
            "logits and labels: expected [views, batch, classes] and [batch], got "
            f"{list(logits.shape)} and {list(labels.shape)}"
        )
    # a compiled graph cannot branch on values, and reading them would wait for a GPU
    if not torch.compiler.is_compiling() and labels.is_cpu and labels.numel():
        least, most = (int(x) for x in labels.aminmax())
        if least < _MISSING or most >= logits.shape[2]:
            wrong = least if least < _MISSING else most
            raise ValueError(
                f"labels: expected 0 to {logits.shape[2] - 1}, or -1 where missing, got {wrong}"
            )


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """Options of supervised training.

    Attributes:
        projector: a head (`_heads.build_head`) before the classifier; "identity": the
            classifier is on the representation, as a linear probe is; "mlp": 4 dim - 4 dim - dim.
        classes: number of labels, > 1; a training sets it from the data.
        label_smoothing: share of the target spread over all classes, from 0 to less than 1.
        classifier: .safetensors file that the classifier of a new training starts from: `weight`
            [classes, inputs] and `bias` [classes]; "": random weights.
    """

    name: ClassVar[str] = "supervised"
    projector: str | int = "identity"
    classes: int = 1000
    label_smoothing: float = 0.0
    classifier: str = ""

    def build(self, dim: int) -> Supervised:
        """The objective for representations of width `dim`."""
        return Supervised(self, dim)


class Supervised(Objective):
    """A linear classifier of every view's label; images without one are left out."""

    uses_labels = True
    classifies = True
    prevents_collapse = False
    least_views = 1

    def __init__(self, config: SupervisedConfig, dim: int) -> None:
        super().__init__()
        check_at_least(2, classes=config.classes)
        if not 0 <= config.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing: expected a number in [0, 1), got {config.label_smoothing}"
            )
        self.config = config
        self.projector = build_head(config.projector, dim, expander_widths(dim))
        self.classifier = nn.Linear(self.projector.out, config.classes)

    def load_start(self) -> None:
        """Take over the classifier of the option `classifier`.

        Raises:
            ValueError: for a file that cannot be read, or holds another classifier.
        """
        if self.config.classifier:
            load_linear(self.classifier, Path(self.config.classifier))

    def project(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to [n, out]: the input of the classifier."""
        return self.projector(representations)

    def classify(self, representations: torch.Tensor) -> torch.Tensor:
        """[n, dim] to logits [n, classes]."""
        logits: torch.Tensor = self.classifier(self.projector(representations))
        return logits

    def compute_loss(self, batch: Representations) -> Terms:
        """Cross-entropy of representations [views, batch, dim]; the accuracy is from 0 to 1."""
        labels = batch.require_labels()
        z = apply_to_views(self.projector, batch.student)
        logits = apply_to_views(self.classifier, z)
        total = supervised(logits, labels, label_smoothing=self.config.label_smoothing)
        right = (logits.detach().argmax(dim=-1) == labels).sum().to(total.dtype)
        accuracy = _share(right, labels.expand(len(logits), -1))
        return Terms(total, {"accuracy": accuracy})
