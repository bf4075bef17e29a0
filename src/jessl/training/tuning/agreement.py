"""Whether a step computed in another way has the loss and the gradient of the plain one.

Other memory formats, kernels and numbers of threads change the order of float32 sums: the
gradients of all objectives then differ by about 1e-5 of their norm. bfloat16 has 8 significant
bits: over the 13 objectives the gradient of an untrained convolutional net has a cosine of .980 to
.997 with that of float32, and the loss differs by 1e-5 to 5e-4 of its value. The bound of .95 adds
at most a tenth to the energy of a gradient whose sampling noise is several times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from jessl.objectives import Terms
from jessl.training.step import Trainer

# relative error of the gradient and of the loss between ways to compute in float32
_FLOAT32_GRADIENT, _FLOAT32_LOSS = 1e-3, 1e-4
# least cosine of the gradients, and relative errors of norm and loss, in reduced precision
_LEAST_COSINE, _REDUCED_NORM, _REDUCED_LOSS = 0.95, 0.1, 0.01
# losses nearer to 0 than this (SimSiam's begins there) are compared as if they were this large
_SMALL_LOSS = 0.1


@dataclass(frozen=True)
class Sample:
    """Loss and gradient of one step on one batch."""

    loss: float
    gradients: tuple[torch.Tensor | None, ...]


@dataclass(frozen=True)
class StepAgreement:
    """How far two samples agree.

    Attributes:
        cosine: of the gradients of all parameters together.
        gradient_error: norm of their difference over the norm of the reference.
        norm_error: relative error of the norm.
        loss_error: relative error of the loss.
    """

    cosine: float
    gradient_error: float
    norm_error: float
    loss_error: float

    def holds(self, *, reduced: bool) -> bool:
        """Whether it lies within the bounds; `reduced`: of bfloat16 or float16 with float32."""
        if reduced:
            return (
                self.cosine >= _LEAST_COSINE
                and self.norm_error <= _REDUCED_NORM
                and self.loss_error <= _REDUCED_LOSS
            )
        return self.gradient_error <= _FLOAT32_GRADIENT and self.loss_error <= _FLOAT32_LOSS

    def __str__(self) -> str:
        return f"cosine of the gradients {self.cosine:.4f}, error of the loss {self.loss_error:.1e}"


def sample(trainer: Trainer, terms: Terms) -> Sample:
    """Loss and gradient of the step that a trainer has just taken."""
    parameters = (*trainer.encoder.parameters(), *trainer.objective.parameters())
    gradients = tuple(
        None if p.grad is None else p.grad.detach().float().cpu().contiguous() for p in parameters
    )
    return Sample(float(terms.total), gradients)


def compare(reference: Sample, other: Sample) -> StepAgreement:
    """How far another sample agrees with the reference; NaN and infinities agree with nothing."""
    dot = square = square_other = square_difference = 0.0
    for a, b in zip(reference.gradients, other.gradients, strict=True):
        if a is None and b is None:
            continue
        a = torch.zeros_like(b) if a is None else a  # type: ignore[arg-type]
        b = torch.zeros_like(a) if b is None else b
        dot += _dot(a, b)
        square += _dot(a, a)
        square_other += _dot(b, b)
        square_difference += _dot(a - b, a - b)
    norm, norm_other = math.sqrt(square), math.sqrt(square_other)
    scale = max(abs(reference.loss), _SMALL_LOSS)
    loss_error = abs(other.loss - reference.loss) / scale
    if norm == 0:  # nothing to learn in this batch
        error = 0.0 if norm_other == 0 else math.inf
        return StepAgreement(1.0 if norm_other == 0 else 0.0, error, error, loss_error)
    return StepAgreement(
        cosine=dot / (norm * norm_other) if norm_other else 0.0,
        gradient_error=math.sqrt(square_difference) / norm,
        norm_error=abs(norm_other / norm - 1),
        loss_error=loss_error,
    )


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    # pairwise sums within a tensor, float64 over the tensors
    return float((a * b).sum())
