"""The first convolution of an encoder for other numbers of channels than three."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

_RGB = 3


def use_channels(name: str, body: nn.Module, channels: int, *, pretrained: bool) -> None:
    """Replace the first convolution of RGB images by one of `channels`.

    Published weights are adapted as timm does it: repeated over the channels and scaled by
    3 / channels, so that activations keep their size; summed for one channel. Random weights are
    drawn anew with that size.

    Args:
        name: what messages call the encoder.
        body: the encoder, changed in place.
        channels: of the images.
        pretrained: whether its weights are published ones.

    Raises:
        ValueError: for a body whose first layer is not a convolution of three channels.
    """
    first = next(
        ((key, m) for key, m in body.named_modules() if isinstance(m, nn.Conv2d)), ("", None)
    )
    key, old = first
    if old is None or old.in_channels != _RGB or old.groups != 1:
        raise ValueError(
            f"encoder {name} cannot take {channels} channels: its first layer is no convolution of "
            "3 channels; use timm's"
        )
    settings: dict[str, Any] = {  # pairs of numbers, whose length is not in their type
        "kernel_size": old.kernel_size,
        "stride": old.stride,
        "padding": old.padding,
        "dilation": old.dilation,
        "padding_mode": old.padding_mode,
        "bias": old.bias is not None,
    }
    new = nn.Conv2d(channels, old.out_channels, **settings)
    if pretrained:
        new.weight.data = adapted_weight(old.weight.data, channels)
    else:
        nn.init.normal_(
            new.weight, std=float(old.weight.detach().std()) * math.sqrt(_RGB / channels)
        )
    if old.bias is not None:
        new.bias = old.bias
    body.set_submodule(key, new)
    # models of transformers compare the channels of images with this number
    for module in body.modules():
        if getattr(module, "num_channels", None) == _RGB:
            setattr(module, "num_channels", channels)  # noqa: B010  no attribute of nn.Module
    config = getattr(getattr(body, "model", None), "config", None)
    if config is not None and getattr(config, "num_channels", None) == _RGB:
        config.num_channels = channels


def adapted_weight(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """The weight of a convolution of RGB images, [out, 3, h, w], for other channels."""
    from timm.models import adapt_input_conv

    return adapt_input_conv(channels, weight)


def adaptation(channels: int) -> str:
    """What was done to the published weights of an encoder, in words."""
    how = "summed" if channels == 1 else f"repeated and scaled by 3/{channels}"
    return f"the first convolution was adapted from 3 to {channels} channels: its weights are {how}"
