"""The format transformers: a folder for AutoModel and AutoImageProcessor.

Models of timm go through transformers' wrapper of timm, which reads timm's own folders.
"""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType

import torch

from jessl.core.files import write_json
from jessl.encoders import Preprocess
from jessl.encoders.huggingface import (
    POOLED_VECTOR,
    HuggingFaceModel,
    Pooling,
    is_pooler,
    silenced,
)
from jessl.exporting._format import (
    ExportJob,
    Format,
    Loaded,
    bands_refusal,
    parts_beside_the_body,
    plain_tensors,
    quoted,
    sample_images,
)
from jessl.exporting.timm_folder import TimmFolder

_PROCESSOR = "preprocessor_config.json"
# PIL's number of bilinear resizing
_BILINEAR = 2
# one file of weights, whatever their size
_SHARD = "10000GB"


class HuggingFaceFolder(Format):
    """A folder that AutoModel and AutoImageProcessor load."""

    name = "transformers"
    title = "transformers folder"
    packages = ("transformers", "timm")

    def refusal(self, job: ExportJob) -> str | None:
        """What neither transformers nor its wrapper of timm has."""
        if reason := bands_refusal(job):
            return reason
        if job.library == "hf":
            return parts_beside_the_body(job)
        return TimmFolder().refusal(job)

    def write(self, job: ExportJob, folder: Path) -> None:
        """Write config.json, model.safetensors and preprocessor_config.json."""
        transformers = _transformers()
        body = job.encoder.body
        if isinstance(body, HuggingFaceModel):
            # weights of a pooler that were never loaded would be taken for real ones
            tensors = plain_tensors(body.model)
            if not body.use_pooler:
                tensors = {k: v for k, v in tensors.items() if not is_pooler(k)}
            with silenced(transformers.utils.logging):
                model = copy.deepcopy(body.model)
                model.save_pretrained(folder, state_dict=tensors, max_shard_size=_SHARD)
        else:
            TimmFolder().write(job, folder)
        write_json(folder / _PROCESSOR, _processor_config(job.encoder.preprocess))

    def load(self, job: ExportJob, folder: Path) -> Loaded:
        """Load by AutoModel; that the image processor can be loaded is tried as well."""
        transformers = _transformers()
        with silenced(transformers.utils.logging):
            net = transformers.AutoModel.from_pretrained(str(folder)).eval()
            transformers.AutoImageProcessor.from_pretrained(str(folder))
        pooling = _pooling(job)
        keywords = _keywords(job)
        return lambda images: (pooling.apply(net(pixel_values=images, **keywords)),)

    def code(self, job: ExportJob, folder: str) -> list[str]:
        """Three lines, and how the image processor makes the input from an image."""
        place = quoted(folder)
        keywords = "".join(f", {k}={v}" for k, v in _keywords(job).items())
        return [
            "from transformers import AutoImageProcessor, AutoModel",
            f"net = AutoModel.from_pretrained({place}).eval()",
            f"features = net(images{keywords}){_pooling(job).code}",
            f"# images = AutoImageProcessor.from_pretrained({place})(pil_images, "
            'return_tensors="pt").pixel_values',
        ]

    def remarks(self, job: ExportJob) -> list[str]:
        """Folders of timm's nets are timm's too."""
        if job.library == "hf":
            return []
        return ["", 'timm loads this folder as well, by `timm.create_model("local-dir:...")`.']


def _transformers() -> ModuleType:
    try:
        import transformers
    except ImportError:
        raise ValueError(
            "format transformers needs transformers: pip install 'jessl[integrations]'"
        ) from None
    return transformers


@torch.no_grad()
def _pooling(job: ExportJob) -> Pooling:
    """How features come out of the output of the model."""
    body = job.encoder.body
    if isinstance(body, HuggingFaceModel):
        return body.pooled(sample_images(job.encoder, 1))[1]
    return POOLED_VECTOR


def _keywords(job: ExportJob) -> dict[str, object]:
    """Arguments of the model beside the images: of another size than its positions."""
    body, size = job.encoder.body, job.encoder.preprocess.size
    if not isinstance(body, HuggingFaceModel) or not body.takes_any_size:
        return {}
    own = getattr(body.model.config, "image_size", None)
    return {} if own in (size, [size, size]) else {"interpolate_pos_encoding": True}


def _processor_config(pixels: Preprocess) -> dict[str, object]:
    """preprocessor_config.json: the short side resized, the central square cropped."""
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": round(pixels.size / pixels.crop_share)},
        "resample": _BILINEAR,
        "do_center_crop": True,
        "crop_size": {"height": pixels.size, "width": pixels.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(pixels.mean),
        "image_std": list(pixels.std),
    }
