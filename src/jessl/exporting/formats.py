"""The formats by name, and which of them can hold an encoder."""

from __future__ import annotations

from collections.abc import Sequence

from jessl.config import EXPORT_FORMATS
from jessl.core.log import Log
from jessl.exporting._format import ExportJob, Format
from jessl.exporting.huggingface_folder import HuggingFaceFolder
from jessl.exporting.onnx_file import OnnxFile
from jessl.exporting.timm_folder import TimmFolder
from jessl.exporting.torch_program import TorchProgram
from jessl.exporting.torchvision_weights import TorchvisionWeights

FORMATS: dict[str, Format] = {
    f.name: f
    for f in (TimmFolder(), TorchvisionWeights(), HuggingFaceFolder(), OnnxFile(), TorchProgram())
}
assert tuple(FORMATS) == EXPORT_FORMATS, "the option and the formats are in one order"


def pick_format(name: str | None, job: ExportJob, log: Log) -> Format:
    """The format of this name, or the default for an encoder, with a note which it is and why.

    Raises:
        ValueError: where the format cannot hold the encoder, with those that can.
    """
    if name is None:
        return _default_format(job, log)
    reason = FORMATS[name].refusal(job)
    if reason is None:
        return FORMATS[name]
    able = [other.name for other in FORMATS.values() if other.refusal(job) is None]
    raise ValueError(
        f"format: {name} cannot hold {describe_encoder(job)}: {reason}; {in_words(able)} can"
    )


def _default_format(job: ExportJob, log: Log) -> Format:
    reason = FORMATS["timm"].refusal(job)
    if reason is None:
        log.note("format timm, the default where it can hold the encoder")
        return FORMATS["timm"]
    # a model of transformers stays one: a program cannot be trained further
    name = "transformers" if job.library == "hf" and len(job.output_names) == 1 else "torch"
    log.note(f"format {name}, as timm cannot hold {describe_encoder(job)}: {reason}")
    return FORMATS[name]


def in_words(names: Sequence[str]) -> str:
    """a, b and c."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def describe_encoder(job: ExportJob) -> str:
    """An encoder in an error message: its name and what makes it differ from the library's."""
    encoder = job.encoder
    parts = []
    if encoder.stem == "small" and job.library in ("timm", "torchvision"):
        parts.append("the small stem")
    if encoder.expansion is not None:
        parts.append(f"an expansion to {encoder.dim} features")
    if job.objective is not None:
        parts.append("its projector")
    if job.head is not None:
        parts.append("its classifier")
    return f"{encoder.name} with {' and '.join(parts)}" if parts else encoder.name
