"""What every format is: whether it can hold an encoder, its files, and how a person loads them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from jessl.encoders import Encoder
from jessl.objectives import Objective

# float32 [batch, channels, size, size] to the features, and to the projection where there is one
Loaded = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]


@dataclass(frozen=True, eq=False)
class ExportJob:
    """What is exported.

    Attributes:
        encoder: on the CPU, in evaluation mode.
        objective: whose projector is exported too; None: the encoder alone.
        head: whose classifier is exported too; None: no classifier.
        classes: names of its classes.
        published: whether the weights are the ones published under the encoder's name.
    """

    encoder: Encoder
    objective: Objective | None
    published: bool
    head: Objective | None = None
    classes: tuple[str, ...] = ()

    @property
    def library(self) -> str:
        """timm, torchvision, hf, or the name of a net of jessl."""
        return self.encoder.name.partition(":")[0]

    @property
    def model(self) -> str:
        """The architecture's name in its library, without a tag of weights."""
        return self.encoder.name.partition(":")[2].partition(".")[0]

    def outputs(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features [batch, dim]; projection [batch, out] and logits [batch, classes] on request."""
        return _outputs(images, self.encoder, self.objective, self.head)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        projection = () if self.objective is None else ("projection",)
        return ("features", *projection, *(() if self.head is None else ("logits",)))


def _outputs(
    images: torch.Tensor, encoder: Encoder, objective: Objective | None, head: Objective | None
) -> tuple[torch.Tensor, ...]:
    features = encoder(images)
    projection = () if objective is None else (objective.project(features),)
    logits = () if head is None else (head.classify(features),)
    return (features, *projection, *logits)


class EncoderProgram(nn.Module):
    """The outputs of a job as a module that can be traced."""

    def __init__(self, job: ExportJob) -> None:
        super().__init__()
        self.encoder, self.objective, self.head = job.encoder, job.objective, job.head

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Features [batch, dim], or (features, projection, logits) of those that are exported."""
        outputs = _outputs(images, self.encoder, self.objective, self.head)
        return outputs[0] if len(outputs) == 1 else outputs


class Format(ABC):
    """A format; the files of an export in it are named in `encoders.checkpoints.export_folder`."""

    name: ClassVar[str]
    # what a folder of this format is called in a sentence
    title: ClassVar[str]
    # packages that loading needs
    packages: ClassVar[tuple[str, ...]]

    @abstractmethod
    def refusal(self, job: ExportJob) -> str | None:
        """Why the format cannot hold the encoder; None where it can.

        Raises:
            ValueError: where a package that writing needs is missing.
        """

    @abstractmethod
    def write(self, job: ExportJob, folder: Path) -> None:
        """Write the files of an encoder that the format can hold."""

    @abstractmethod
    def load(self, job: ExportJob, folder: Path) -> Loaded:
        """Load the files as a person does, with nothing of jessl."""

    @abstractmethod
    def code(self, job: ExportJob, folder: str) -> list[str]:
        """Lines of Python that load the export in `folder`; `images` become `features`."""

    def remarks(self, job: ExportJob) -> list[str]:
        """Paragraphs below the code in README.md."""
        return []


def parts_beside_the_body(job: ExportJob) -> str | None:
    """What an encoder or a job has that a library's own architecture lacks; None: nothing."""
    if job.objective is not None:
        return "a projector is no part of its architectures"
    if job.head is not None:
        return "it holds encoders without a classifier"
    if job.encoder.expansion is not None:
        return f"its architectures have no expansion to {job.encoder.dim} features"
    if job.library not in ("timm", "torchvision", "hf"):
        return "that is a net of jessl"
    return None


@torch.no_grad()
def is_same_net(job: ExportJob, build: Callable[[], nn.Module]) -> bool:
    """Whether another library's architecture has the body's tensors and computes its features.

    Args:
        build: makes that architecture, with any weights.
    """
    weights = job.encoder.body.state_dict()
    with torch.device("meta"):
        net = build()
    if {k: v.shape for k, v in weights.items()} != {
        k: v.shape for k, v in net.state_dict().items()
    }:
        return False
    net.load_state_dict(weights, assign=True)
    if any(t.is_meta for t in (*net.parameters(), *net.buffers())):
        net = build()  # buffers that a state dict lacks
        net.load_state_dict(weights)
    images = sample_images(job.encoder, 2)
    return torch.allclose(net.eval()(images), job.encoder(images), rtol=1e-4, atol=1e-5)


def sample_images(encoder: Encoder, count: int) -> torch.Tensor:
    """Random images: float32 [count, channels, size, size], normal as normalised pixels are."""
    size, generator = encoder.preprocess.size, torch.Generator().manual_seed(0)
    return torch.randn(count, encoder.channels, size, size, generator=generator)


def bands_refusal(job: ExportJob) -> str | None:
    """Why an architecture with three input channels cannot hold the encoder; None where it can."""
    channels = job.encoder.channels
    return None if channels == 3 else f"its architectures take 3 channels, not {channels}"


def plain_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a module, each with memory of its own."""
    return {k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}


def quoted(text: str) -> str:
    """A text as a literal of Python."""
    return json.dumps(text, ensure_ascii=False)
