"""What an export wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jessl.core.notebook import Described
from jessl.encoders import Preprocess


@dataclass(frozen=True, repr=False)
class ExportResult(Described):
    """A folder that `jessl.export` wrote, and how to load it.

    Attributes:
        out: the folder.
        format: timm, torchvision, transformers, onnx or torch.
        encoder: name of the architecture.
        files: names in the folder, sorted.
        preprocess: of the images.
        dim: features of an image.
        projection: outputs of the projector; None where it was not written.
        classes: names of the classes of the classifier; empty where it was not written.
        code: lines of Python that load the export without jessl.
        weights_sha256: of names, types, shapes and values of the encoder's tensors.
        max_abs_difference: largest absolute difference between outputs of the export, loaded back,
            and those of the encoder, on random images.
        source: where the weights came from (JSON values).
    """

    out: Path
    format: str
    encoder: str
    files: tuple[str, ...]
    preprocess: Preprocess
    dim: int
    projection: int | None
    classes: tuple[str, ...]
    code: tuple[str, ...]
    weights_sha256: str
    max_abs_difference: float
    source: dict[str, object]

    @property
    def conclusion(self) -> str:
        """What was written and where, in one sentence without a full stop."""
        return f"{self.encoder} with {self.dim:,} features is in {self.out}, for {self.format}"

    def describe(self) -> list[tuple[str, str]]:
        """How to load it without jessl, and how exact it is."""
        return [
            *((("" if k else "load"), line) for k, line in enumerate(self.code)),
            ("files", ", ".join(self.files)),
            ("classes", ", ".join(self.classes)),
            ("largest difference", f"{self.max_abs_difference:.2g}"),
        ]
