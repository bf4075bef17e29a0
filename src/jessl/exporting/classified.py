"""What `jessl classify` and `jessl finetune` wrote: an encoder with its classifier to export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.files import HEADER
from jessl.classification.finetune_folder import CLASSIFIER, STATE, read_result
from jessl.classification.start_head import linear_head
from jessl.encoders import Encoder
from jessl.extraction.opened_encoder import weights_sha256
from jessl.objectives import Objective, build_objective


@dataclass(frozen=True, eq=False)
class Classified:
    """A classifier on disk, and the encoder of its features.

    Attributes:
        folder: that was named.
        encoder: run folder or name to open.
        classifier: on the features of the encoder.
    """

    folder: Path
    encoder: str
    classifier: EmbeddingClassifier

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return tuple(map(str, self.classifier.classes_.tolist()))

    @property
    def description(self) -> str:
        """Where the classifier came from, for people."""
        return f"fitted by jessl on {self._about['data']['labelled']:,} labelled images"

    @property
    def _about(self) -> Mapping[str, Any]:
        about: Mapping[str, Any] = self.classifier.about_
        return about

    def head(self, encoder: Encoder) -> Objective:
        """The classifier as an objective with a linear layer, whose logits are calibrated.

        Raises:
            ValueError: for an encoder with other weights than those that it was fitted on.
        """
        if weights_sha256(encoder) != self._about["encoder"]["weights_sha256"]:
            raise ValueError(
                f"head: the classifier in {self.folder} was fitted on features of {self.encoder} "
                "with other weights"
            )
        names = self.classifier.classes_.tolist()
        objective = build_objective("supervised", encoder.dim, {"classes": len(names)})
        layer = objective.classifier
        assert isinstance(layer, nn.Linear)
        with torch.no_grad():
            for own, values in zip(
                (layer.weight, layer.bias), linear_head(self.classifier, names), strict=True
            ):
                own.copy_(torch.from_numpy(values))
        return objective


def open_classified(path: object) -> Classified | None:
    """The classifier in a folder of `jessl finetune`, or of `jessl classify`; None for all else.

    Raises:
        ValueError: for a fine-tuning that is not finished, and a classifier of several labels or of
            numbers.
    """
    if not isinstance(path, str | Path):
        return None
    folder = Path(path)
    run = None
    if (folder / STATE).is_file():
        result = read_result(folder)
        if result.get("kept") == "finetuned":
            run = folder / Path(str(result.get("run"))).name
        classifier = EmbeddingClassifier.load(folder / CLASSIFIER)
    elif (folder / HEADER).is_file():
        classifier = EmbeddingClassifier.load(folder)
    else:
        return None
    try:
        spec = str(run or classifier.about_["encoder"]["spec"])
        classifier.about_["encoder"]["weights_sha256"], classifier.about_["data"]["labelled"]
    except (KeyError, TypeError):
        raise ValueError(
            f"encoder: {folder} was not written by jessl classify or finetune and names no encoder"
        ) from None
    return Classified(folder, spec, classifier)
