"""The format timm: config.json and model.safetensors, for `timm.create_model("local-dir:OUT")`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jessl.core.files import write_json
from jessl.encoders.checkpoints.export_folder import WEIGHTS
from jessl.exporting._format import (
    ExportJob,
    Format,
    Loaded,
    is_same_net,
    parts_beside_the_body,
    plain_tensors,
    quoted,
)

# of timm's own configuration: what loading and fine-tuning need
_CARRIED = ("first_conv", "classifier", "pool_size", "fixed_input_size", "min_input_size")


class TimmFolder(Format):
    """A folder that timm loads strictly, with its own preprocessing."""

    name = "timm"
    title = "timm folder"
    packages = ("timm",)

    def refusal(self, job: ExportJob) -> str | None:
        """Small stems, expansions, nets of other libraries that timm does not have."""
        if reason := parts_beside_the_body(replace(job, head=None)):
            return reason
        if job.head is not None and (reason := _head_refusal(job)):
            return reason
        if job.encoder.stem == "small":
            return "its ResNets have no small stem (3x3, stride 1, no max-pool)"
        if job.library == "timm":
            return None
        import timm

        same_name = job.library == "torchvision" and job.model in timm.list_models()
        if same_name and is_same_net(job, lambda: timm_model(job)):
            return None
        return f"it has no architecture with the tensors of {job.encoder.name}"

    def write(self, job: ExportJob, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        from safetensors.torch import save_file

        tensors = plain_tensors(job.encoder.body)
        linear = _linear(job.head)
        if linear is not None:
            tensors |= {f"{_classifier(job)}.{k}": v for k, v in plain_tensors(linear).items()}
        save_file(tensors, folder / WEIGHTS[self.name], {"format": "pt"})
        write_json(folder / "config.json", timm_config(job))

    def load(self, job: ExportJob, folder: Path) -> Loaded:
        """Load by timm.create_model."""
        import timm

        place = f"local-dir:{folder}"
        if job.head is None:
            net = timm.create_model(place, pretrained=True, num_classes=0).eval()
            return lambda images: (net(images),)
        whole: Any = timm.create_model(place, pretrained=True).eval()
        return lambda images: (
            whole.forward_head(whole.forward_features(images), pre_logits=True),
            whole(images),
        )

    def code(self, job: ExportJob, folder: str) -> list[str]:
        """Three lines."""
        place = quoted(f"local-dir:{folder}")
        if job.head is not None:
            return [
                "import timm",
                f"net = timm.create_model({place}, pretrained=True).eval()",
                'classes = net.pretrained_cfg["label_names"]',
                "logits = net(images)",
            ]
        return [
            "import timm",
            f"net = timm.create_model({place}, pretrained=True, num_classes=0).eval()",
            "features = net(images)",
        ]


def _head_refusal(job: ExportJob) -> str | None:
    """Why timm cannot hold the classifier of a job."""
    if _linear(job.head) is None:
        return "its classifiers are one linear layer on the features"
    if not isinstance(_classifier(job), str):
        return f"{job.model} has no single classifier in it"
    return None


def _linear(head: Any) -> nn.Linear | None:
    """The classifier of an objective, where it is a linear layer on the representation."""
    layer = getattr(head, "classifier", None)
    is_direct = isinstance(layer, nn.Linear) and len(head.projector) == 0
    return layer if is_direct else None


def _classifier(job: ExportJob) -> Any:
    """The name of the classifier in timm's model, such as fc or head.fc."""
    import timm

    card = timm.get_pretrained_cfg(job.model, allow_unregistered=True)
    return None if card is None else card.classifier


def timm_model(job: ExportJob) -> nn.Module:
    """The architecture of a job as timm builds it, with random weights."""
    from jessl.encoders.timm_models import create_timm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_timm(
            job.model,
            job.encoder.preprocess.size,
            pretrained=False,
            channels=job.encoder.channels,
        )[0]


def timm_config(job: ExportJob) -> dict[str, object]:
    """config.json, which timm and transformers' wrapper of timm read."""

    from jessl.encoders.timm_models import create_timm

    pixels = job.encoder.preprocess
    with torch.device("meta"):
        net, arguments = create_timm(
            job.model, pixels.size, pretrained=False, channels=job.encoder.channels
        )
    card = dict(getattr(net, "pretrained_cfg", None) or {})
    carried = {k: card[k] for k in _CARRIED if card.get(k) is not None}
    if tuple(card.get("input_size", ()))[1:] != (pixels.size, pixels.size):
        carried.pop("pool_size", None)
    own = getattr(job.encoder.body, "pretrained_cfg", None) or {}
    if job.published and job.library == "timm" and own.get("license"):
        carried["license"] = own["license"]
    config: dict[str, object] = {
        "architecture": job.model,
        "num_classes": len(job.classes),
        "num_features": job.encoder.dim,
        "pretrained_cfg": {
            **carried,
            "input_size": [job.encoder.channels, pixels.size, pixels.size],
            "interpolation": "bilinear",
            "crop_pct": pixels.crop_share,
            "crop_mode": "center",
            "mean": list(pixels.mean),
            "std": list(pixels.std),
            "num_classes": len(job.classes),
        },
    }
    if job.head is not None:
        config["label_names"] = list(job.classes)
    if arguments:
        config["model_args"] = arguments
    return config
