"""The format onnx: model.onnx, with a dynamic batch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from jessl.encoders.checkpoints.export_folder import WEIGHTS
from jessl.exporting._format import ExportJob, Format, Loaded, quoted, sample_images
from jessl.exporting.torch_program import traced

INPUT = "images"
# above this size weights lie beside the model: a file of protobuf holds 2 GiB
_MOST_BYTES = 1.9e9


class OnnxFile(Format):
    """A model for onnxruntime and others: input images, outputs features, projection, logits."""

    name = "onnx"
    title = "ONNX model"
    packages = ("onnxruntime",)

    def refusal(self, job: ExportJob) -> str | None:
        """None: it holds everything that can be traced."""
        return None

    def write(self, job: ExportJob, folder: Path) -> None:
        """Write model.onnx, and model.onnx.data for weights of more than 1.9 GB."""
        _require_onnx()
        program = traced(job)
        images = sample_images(job.encoder, 3)
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exported: Any = torch.onnx.export(
                    program,
                    (images,),
                    input_names=[INPUT],
                    output_names=list(job.output_names),
                    dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                    dynamo=True,
                    verbose=False,
                )
        except torch.onnx.OnnxExporterError as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ValueError(
                f"format onnx cannot hold encoder {job.encoder.name}: {reason}; torch can"
            ) from None
        finally:
            logger.setLevel(level)
        for node in exported.model.graph:
            node.metadata_props.clear()  # paths of this machine
        size = sum(t.numel() * t.element_size() for t in program.state_dict.values())
        exported.save(folder / WEIGHTS[self.name], external_data=size > _MOST_BYTES)

    def load(self, job: ExportJob, folder: Path) -> Loaded:
        """Load by onnxruntime."""
        import onnxruntime

        session = onnxruntime.InferenceSession(
            folder / WEIGHTS[self.name], providers=["CPUExecutionProvider"]
        )
        names = list(job.output_names)

        def run(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(map(torch.from_numpy, session.run(names, {INPUT: images.numpy()})))

        return run

    def code(self, job: ExportJob, folder: str) -> list[str]:
        """Three lines; images and outputs are arrays of numpy."""
        names = job.output_names
        left = ", ".join(names) if len(names) > 1 else f"[{names[0]}]"
        place = quoted(f"{folder}/{WEIGHTS[self.name]}")
        return [
            "import onnxruntime",
            f"session = onnxruntime.InferenceSession({place})",
            f'{left} = session.run({quoted_list(names)}, {{"{INPUT}": images}})  # numpy float32',
        ]


def quoted_list(names: tuple[str, ...]) -> str:
    """Names as a list of Python."""
    return f"[{', '.join(map(quoted, names))}]"


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"format onnx needs {error.name}: pip install 'jessl[onnx]'") from None
