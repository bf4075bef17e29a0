"""Encoders of timm: `timm:NAME`."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

from jessl.core.validation import unknown_name
from jessl.encoders._published import fetch
from jessl.encoders.encoder import Preprocess


def build_timm(
    name: str, size: int | None, pretrained: bool, channels: int = 3
) -> tuple[nn.Module, Preprocess]:
    """Build a model of timm without its head.

    Args:
        name: timm's, with or without a tag of weights.
        size: side of the images, pixels; None: that of timm's configuration.
        pretrained: with the published weights, else random ones.
        channels: of the images; timm adapts published weights to them.

    Raises:
        ValueError: for an unknown name, with the nearest ones, or weights that cannot be fetched.
    """
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise ValueError(unknown_name("timm model", name, known, most=8))
    body = fetch(
        f"timm:{name}",
        lambda: create_timm(name, size, pretrained=pretrained, channels=channels)[0],
        pretrained=pretrained,
        hub=True,
    )
    data = timm.data.resolve_data_config({}, model=body)
    preprocess = Preprocess(
        size or data["input_size"][1],
        tuple(data["mean"]),
        tuple(data["std"]),
        data["crop_pct"] if pretrained and size is None else 1.0,
    )
    return body, preprocess


def create_timm(
    name: str, size: int | None, *, pretrained: bool, channels: int = 3
) -> tuple[nn.Module, dict[str, Any]]:
    """A model of timm without its head, and the arguments of its own that it was created with."""
    options: dict[str, Any] = {} if channels == 3 else {"in_chans": channels}
    card = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if card is not None and card.fixed_input_size:
        # transformers: positions follow the size of each image (multi-crop, growing sides)
        options["dynamic_img_size"] = True
        if size is not None:
            options["img_size"] = size
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options), options
    except TypeError as error:
        if options.pop("dynamic_img_size", None) is None or "dynamic" not in str(error):
            raise
        # this model lacks the option
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options), options
