"""The format torchvision: weights.pth, the state dict of a torchvision model without its head."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jessl.encoders.checkpoints.export_folder import WEIGHTS
from jessl.exporting._format import (
    ExportJob,
    Format,
    Loaded,
    bands_refusal,
    is_same_net,
    parts_beside_the_body,
    plain_tensors,
    quoted,
)

# torchvision warns about its own default of these, and builds heads that an encoder lacks
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
_DEFAULT_PX = 224


class TorchvisionWeights(Format):
    """A state dict that a model of torchvision loads strictly once its head is the identity."""

    name = "torchvision"
    title = "state dict for torchvision"
    packages = ("torch", "torchvision")

    def refusal(self, job: ExportJob) -> str | None:
        """Expansions, and nets of other libraries that torchvision does not have."""
        if reason := bands_refusal(job):
            return reason
        if reason := parts_beside_the_body(job):
            return reason
        if getattr(job.encoder.body, "transform_input", False):
            return f"the published weights of {job.encoder.name} normalise their input once more"
        if job.library == "torchvision":
            return None
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
        same_name = job.library == "timm" and job.model in known
        if same_name and is_same_net(job, lambda: _headless(job)):
            return None
        return f"it has no architecture with the tensors of {job.encoder.name}"

    def write(self, job: ExportJob, folder: Path) -> None:
        """Write weights.pth."""
        torch.save(plain_tensors(job.encoder.body), folder / WEIGHTS[self.name])

    def load(self, job: ExportJob, folder: Path) -> Loaded:
        """Load as the lines of `code` do."""
        net = _headless(job)
        net.load_state_dict(torch.load(folder / WEIGHTS[self.name], weights_only=True))
        net.eval()
        return lambda images: (net(images),)

    def code(self, job: ExportJob, folder: str) -> list[str]:
        """The model, its head, its stem where it is the small one, and its weights."""
        with torch.device("meta"):
            head = _head(_build(job))
        options = ", ".join(f"{k}={v}" for k, v in _options(job).items())
        lines = [
            "import torch, torchvision",
            f"net = torchvision.models.{job.model}({options})",
            f"net.{_as_python(head)} = torch.nn.Identity()",
        ]
        if job.encoder.stem == "small":
            lines += [_small_stem_code(job.encoder.body), "net.maxpool = torch.nn.Identity()"]
        place = quoted(f"{folder}/{WEIGHTS[self.name]}")
        return [
            *lines,
            f"net.load_state_dict(torch.load({place}, weights_only=True))",
            "features = net.eval()(images)",
        ]


def _options(job: ExportJob) -> dict[str, object]:
    options: dict[str, object] = {}
    if job.model.startswith("vit") and job.encoder.preprocess.size != _DEFAULT_PX:
        options["image_size"] = job.encoder.preprocess.size
    if job.model in _WITH_AUXILIARY_HEADS:
        options |= {"aux_logits": False, "init_weights": False}
    return options


def _build(job: ExportJob) -> nn.Module:
    import torchvision

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net: nn.Module = torchvision.models.get_model(job.model, weights=None, **_options(job))
    return net


def _head(net: nn.Module) -> str:
    from jessl.encoders.torchvision_models import head_name

    name = head_name(net)
    assert name is not None, "the encoder has lost its head, so there was one"
    return name


def _headless(job: ExportJob) -> nn.Module:
    """The model of torchvision without its head, with the encoder's stem and random weights."""
    net: Any = _build(job)
    net.set_submodule(_head(net), nn.Identity())
    if job.encoder.stem == "small":
        first: Any = job.encoder.body.conv1
        net.conv1 = nn.Conv2d(3, first.out_channels, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    return net


def _small_stem_code(body: Any) -> str:
    return f"net.conv1 = torch.nn.Conv2d(3, {body.conv1.out_channels}, 3, 1, 1, bias=False)"


def _as_python(path: str) -> str:
    """classifier.3 as classifier[3]."""
    first, *rest = path.split(".")
    return first + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)
