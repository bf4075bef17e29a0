"""The format torch: model.pt2, a program of torch.export that holds any encoder."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch.export import ExportedProgram

from jessl.encoders.checkpoints.export_folder import WEIGHTS
from jessl.exporting._format import (
    EncoderProgram,
    ExportJob,
    Format,
    Loaded,
    quoted,
    sample_images,
)


class TorchProgram(Format):
    """A program with its weights, for any batch of images of one size."""

    name = "torch"
    title = "program of torch.export"
    packages = ("torch",)

    def refusal(self, job: ExportJob) -> str | None:
        """None: it holds everything."""
        return None

    def write(self, job: ExportJob, folder: Path) -> None:
        """Write model.pt2."""
        program = traced(job)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(program, folder / WEIGHTS[self.name])

    def load(self, job: ExportJob, folder: Path) -> Loaded:
        """Load by torch.export.load."""
        net = torch.export.load(folder / WEIGHTS[self.name]).module()
        if len(job.output_names) == 1:
            return lambda images: (net(images),)
        return lambda images: tuple(net(images))

    def code(self, job: ExportJob, folder: str) -> list[str]:
        """Three lines."""
        outputs = ", ".join(job.output_names)
        return [
            "import torch",
            f"net = torch.export.load({quoted(f'{folder}/{WEIGHTS[self.name]}')}).module()",
            f"{outputs} = net(images)",
        ]

    def remarks(self, job: ExportJob) -> list[str]:
        """What torch does not promise."""
        return [
            "",
            "torch does not promise that another version of it reads a program; where that matters "
            "use the format onnx.",
        ]


def traced(job: ExportJob) -> ExportedProgram:
    """The outputs of a job as a program with a dynamic batch.

    Raises:
        ValueError: where torch cannot trace the network.
    """
    module = EncoderProgram(job).eval()
    images = sample_images(job.encoder, 3)
    batch = torch.export.Dim("batch", min=1)
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (images,), dynamic_shapes=({0: batch},))
    except Exception as error:  # errors of the tracer have no common base
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(
            f"torch.export cannot trace encoder {job.encoder.name}: {reason}"
        ) from None
    finally:
        logger.setLevel(level)
    for module_ in program.graph_module.modules():
        graph = getattr(module_, "graph", None)
        for node in graph.nodes if graph is not None else ():
            node.meta.pop("stack_trace", None)  # paths of this machine
    return program
