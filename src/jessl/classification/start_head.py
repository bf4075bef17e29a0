"""The frozen probe as the classifier that a fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.classification.classifier import EmbeddingClassifier
from jessl.core.files import atomic_write


def linear_head(
    fitted: EmbeddingClassifier, classes: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [classes, d] and bias [classes] of a fitted classifier, on features as they are.

    The logits are divided by its temperature.

    Args:
        fitted: of class names, some or all of `classes`.
        classes: in the order of the rows; a class that the classifier does not know has weights 0
            and the smallest bias.
    """
    own_weights, own_bias = fitted.probe_.folded()
    weights = np.zeros((len(classes), own_weights.shape[1]))
    bias = np.full(len(classes), own_bias.min())
    place = {name: k for k, name in enumerate(classes)}
    rows = [place[name] for name in fitted.classes_.tolist()]
    weights[rows], bias[rows] = own_weights, own_bias
    scale = fitted.temperature_
    return (weights / scale).astype(np.float32), (bias / scale).astype(np.float32)


def write_start_head(path: Path, fitted: EmbeddingClassifier, classes: Sequence[str]) -> None:
    """Write what the objective `supervised` reads with its option `classifier`."""
    from safetensors.numpy import save

    weights, bias = linear_head(fitted, classes)
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as part:
        part.write_bytes(save({"weight": weights, "bias": bias}))
