"""Encoders of torchvision: `torchvision:NAME`."""

from __future__ import annotations

import torchvision
from torch import nn

from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.validation import unknown_name
from jessl.encoders._published import fetch
from jessl.encoders.encoder import Preprocess


def build_torchvision(
    name: str, size: int | None, pretrained: bool
) -> tuple[nn.Module, Preprocess]:
    """Build a classifier of torchvision without its last linear layer.

    Args:
        name: torchvision's.
        size: side of the images, pixels; None: that of the published weights, else 224.
        pretrained: with the published weights (DEFAULT), else random ones.

    Raises:
        ValueError: for an unknown name, with the nearest ones, weights that cannot be fetched, or
            a model without a linear head.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(unknown_name("torchvision model", name, known, most=8))
    options: dict[str, object] = {"weights": "DEFAULT"} if pretrained else {}
    if name.startswith("vit") and size is not None and not pretrained:
        options["image_size"] = size
    body = fetch(
        f"torchvision:{name}",
        lambda: torchvision.models.get_model(name, **options),
        pretrained=pretrained,
        hub=False,
    )
    if hasattr(body, "aux_logits"):  # inception's auxiliary classifiers: a tuple while training
        for attribute in ("aux1", "aux2", "AuxLogits"):
            setattr(body, attribute, None)
        setattr(body, "aux_logits", False)  # noqa: B010  # mypy takes it for a module
    _remove_head(name, body)
    if not pretrained or size is not None:
        return body, Preprocess(size or 224, IMAGENET_MEAN, IMAGENET_STD)
    card = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    crop, resize = card.crop_size[0], card.resize_size[0]
    return body, Preprocess(crop, tuple(card.mean), tuple(card.std), crop / resize)


def _remove_head(name: str, body: nn.Module) -> None:
    """Replace the last linear layer of a classifier by the identity."""
    head = head_name(body)
    if head is None:
        raise ValueError(f"torchvision model {name!r} has no linear head to remove; use timm's")
    body.set_submodule(head, nn.Identity())


def head_name(body: nn.Module) -> str | None:
    """The last linear layer of a classifier, such as fc or classifier.3; None: there is none."""
    for attribute in ("fc", "classifier", "heads", "head"):
        head = getattr(body, attribute, None)
        if isinstance(head, nn.Linear):
            return attribute
        if isinstance(head, nn.Sequential):
            for key, layer in reversed(list(head.named_children())):
                if isinstance(layer, nn.Linear):
                    return f"{attribute}.{key}"
    return None
