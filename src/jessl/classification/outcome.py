"""What a fitted classifier says about the images of a source, whatever it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jessl.classification.abstention import Abstention
from jessl.classification.accuracy import ExpectedAccuracy
from jessl.classification.classifier import EmbeddingClassifier
from jessl.embeddings import Embeddings

_LONGEST = 12


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions of n rows as columns.

    Attributes:
        columns: of the table of predictions, n values each.
        group: [n], under which heading the image stands on the page.
        sureness: float64 [n], larger where the classifier is surer.
        caption: [n], pieces of text below the image on the page.
    """

    columns: Mapping[str, Sequence[object] | NDArray[np.generic]]
    group: Sequence[str]
    sureness: NDArray[np.float64]
    caption: Sequence[tuple[str, ...]]


class FittedTask(Protocol):
    """A fitted estimator of one of the tasks."""

    def announcement(self) -> list[str]:
        """What to expect of the predictions, in sentences."""

    def as_json(self) -> dict[str, object]:
        """The same as JSON values."""

    def outcome(self, z: Embeddings) -> Outcome:
        """Predictions of all rows."""


def shortened(name: str) -> str:
    """A class name that fits below a thumbnail."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


@dataclass(frozen=True, eq=False)
class SingleLabel:
    """One class for each image."""

    classifier: EmbeddingClassifier

    def announcement(self) -> list[str]:
        """Expected accuracy, calibration and abstention."""
        fitted = self.classifier
        lines = [fitted.expected_accuracy_.text]
        if fitted.expected_accuracy_.value is None:
            lines.append("The probabilities are not calibrated: no labelled image can be held out")
        if fitted.abstention_ is not None:
            lines.append(fitted.abstention_.text)
        return lines

    def as_json(self) -> dict[str, object]:
        """The same as JSON values."""
        fitted = self.classifier
        accuracy: ExpectedAccuracy = fitted.expected_accuracy_
        abstention: Abstention | None = fitted.abstention_
        return {
            "expected_accuracy": accuracy.value,
            "low": accuracy.low,
            "high": accuracy.high,
            "folds": accuracy.folds,
            "classes_with_one_image": accuracy.alone,
            "abstention": None if abstention is None else vars(abstention),
            "temperature": fitted.temperature_,
            "calibration_error": fitted.calibration_error_,
            "C": fitted.C_,
            "confusion": {
                "classes": [str(name) for name in fitted.classes_],
                "counts": fitted.confusion_.tolist(),
            },
        }

    def outcome(self, z: Embeddings) -> Outcome:
        """Predictions with second guess, distance and abstention."""
        details = self.classifier.details(z)
        names = [str(name) for name in self.classifier.classes_]
        label = [names[k] for k in details.label.tolist()]
        second = [names[k] for k in details.second.tolist()]
        caption = [
            (
                f"{100 * p:.0f} %",
                f"or {shortened(other)}",
                *(["far"] if far else []),
                *(["abstains"] if abstain else []),
            )
            for p, other, far, abstain in zip(
                details.probability,
                second,
                details.far,
                details.abstain,
                strict=True,
            )
        ]
        return Outcome(
            {
                "label": label,
                "probability": details.probability,
                "second": second,
                "second_probability": details.second_probability,
                "distance": details.distance,
                "far": details.far,
                "abstain": details.abstain,
            },
            label,
            details.probability,
            caption,
        )
