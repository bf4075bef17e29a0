"""Encoders by name: `smallconv[:WIDTH]`, `resnet_cifar:LAYERS`, `timm:NAME`, `torchvision:NAME`,
`hf:NAME`, and the baseline `pixels[:SIZE]`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, TypeAlias

from torch import nn

from jessl.core.extensions import FORM, is_outside
from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.resources import refuse_sizes_beyond_memory
from jessl.core.validation import check_choice, check_int, unknown_name
from jessl.encoders.encoder import Encoder, Preprocess, output_width
from jessl.encoders.expansion import Expansion, has_feature_map, is_resnet
from jessl.encoders.nets.airbench import DEFAULT_WIDTH as AIRBENCH_WIDTH
from jessl.encoders.nets.airbench import AirbenchNet
from jessl.encoders.nets.pixels import NAME as PIXELS
from jessl.encoders.nets.pixels import Pixels
from jessl.encoders.nets.resnet_cifar import DIM, LAYERS, SmallResNet
from jessl.encoders.nets.smallconv import DEFAULT_WIDTH, SmallConv
from jessl.encoders.outside import (
    ENCODERS,
    FAMILIES,
    LIBRARIES,
    build_outside,
    is_known_outside,
)
from jessl.encoders.stem_channels import use_channels

# mean and standard deviation of each channel
Normalisation: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]

_HALF = (0.5, 0.5, 0.5)
_QUARTER = (0.25, 0.25, 0.25)

# up to this side, pixels, a ResNet's stride-2 stem and max-pool discard most of the image
SMALL_STEM_PX = 64


def build_encoder(
    name: str,
    *,
    size: int | None = None,
    stem: str | None = None,
    pretrained: bool = False,
    dim: int | None = None,
    normalisation: Normalisation | None = None,
    imports: bool = True,
) -> Encoder:
    """Build an encoder.

    Example:
        encoder = build_encoder("timm:resnet18", size=32)
        encoder(torch.zeros(1, 3, 32, 32))  # [1, 512]

    Args:
        name: `smallconv` or `smallconv:WIDTH` (small net of jessl, dim 8 x WIDTH, default 32),
            `resnet_cifar:LAYERS` (He et al. 2015, section 4.2; 64 features), `airbench` or
            `airbench:WIDTH` (Jordan 2024; 4 x WIDTH features, default 64), `timm:NAME`,
            `torchvision:NAME`, `hf:NAME` (transformers; a name of the hub or a folder), or
            `pixels[:SIZE]` (the image itself, 0 to 1: 3 x size x size features, no weights), or
            `package.module:Name`, a function or class of yours (docs/extending.md).
        size: side of the images, pixels; None: that of the published weights, 32 for smallconv,
            resnet_cifar and pixels.
        stem: "small" (3x3 stride 1, no max-pool; ResNets only), "standard", or None: small for
            ResNets up to 64 pixels unless `pretrained`.
        pretrained: fetch the published weights (needs the network the first time).
        dim: features that the representation gets from a block of random weights (`Expansion`),
            >= 1: before the average pooling of smallconv and of ResNets, after any other model.
            None: those of the model, without a block.
        normalisation: mean and standard deviation of each band of the images, in units of the pixel
            range [0, 1] (`jessl.data.band_statistics`); the encoder takes as many channels. Random
            weights of the first convolution are drawn for them; published ones are repeated over
            the channels and scaled by 3 / channels, and summed for one channel. None: RGB, with the
            normalisation of the encoder.
        imports: whether "package.module:Name" may be imported; False for names from files.

    Raises:
        ValueError: for an unknown family or name, with the nearest names, a stem that does not
            fit, or a dim that is not a whole number of at least 1.
    """
    if dim is not None:
        dim = check_int("dim", dim, 1)
    with refuse_sizes_beyond_memory(f"encoder {name}"):
        channels = 3 if normalisation is None else len(normalisation[0])
        if is_known_outside(name):
            encoder = build_outside(
                name,
                size=size,
                stem=stem,
                pretrained=pretrained,
                channels=channels,
                imports=imports,
            )
        else:
            encoder = _build_without_expansion(name, size, stem, pretrained, channels)
        if normalisation is not None:
            mean, std = normalisation
            encoder.preprocess = replace(encoder.preprocess, mean=mean, std=std)
        if dim is not None:
            encoder.expand(Expansion(encoder.dim, dim, planes=has_feature_map(encoder.body)))
        return encoder


def _build_without_expansion(
    name: str, size: int | None, stem: str | None, pretrained: bool, channels: int
) -> Encoder:
    family, _, model = name.partition(":")
    if stem is not None:
        check_choice("stem", stem, ("small", "standard"))
    if family == "smallconv":
        return _build_smallconv(model, size, stem, pretrained, channels)
    if family == "airbench":
        return _build_airbench(model, size, stem, pretrained, channels)
    if family == "resnet_cifar":
        return _build_resnet_cifar(model, size, stem, pretrained, channels)
    if family == PIXELS:
        return _build_pixels(model, size, stem, channels)
    if family == "ckpt":
        raise ValueError(
            f"encoder {name!r} is a file of weights, which embed and select accept; to train from "
            "it name its architecture and give the file to --init"
        )
    if family not in LIBRARIES:
        raise ValueError(_unknown_family(family, model))
    if not model:
        raise ValueError(
            f"encoder {name!r}: expected {family}:NAME with a model, e.g. {LIBRARIES[family]}"
        )
    body, preprocess = _build_of_library(family, model, size, pretrained, channels)
    small = stem == "small" or (
        stem is None and not pretrained and preprocess.size <= SMALL_STEM_PX and is_resnet(body)
    )
    if small:
        _use_small_stem(name, body)
    stem = "small" if small else "standard"
    dim = output_width(name, body, preprocess.size, channels)
    return Encoder(body, dim=dim, preprocess=preprocess, name=name, stem=stem)


def _build_of_library(
    library: str, model: str, size: int | None, pretrained: bool, channels: int
) -> tuple[nn.Module, Preprocess]:
    # imported when needed: each library takes seconds
    if library == "timm":
        from jessl.encoders.timm_models import build_timm

        return build_timm(model, size, pretrained, channels)
    if library == "torchvision":
        from jessl.encoders.torchvision_models import build_torchvision

        body, preprocess = build_torchvision(model, size, pretrained)
    else:
        from jessl.encoders.huggingface import build_huggingface

        body, preprocess = build_huggingface(model, size, pretrained)
    if channels != 3:
        use_channels(f"{library}:{model}", body, channels, pretrained=pretrained)
    return body, preprocess


def _build_smallconv(
    width: str, size: int | None, stem: str | None, pretrained: bool, channels: int
) -> Encoder:
    if pretrained:
        raise ValueError("smallconv has no published weights; give a file or a run folder instead")
    if stem == "standard":
        raise ValueError("smallconv has only the small stem; leave stem out")
    if (width and not width.isdigit()) or width == "0":
        raise ValueError(f"encoder smallconv: expected a width of at least 1, got {width!r}")
    size = size or 32
    if size < 8:
        raise ValueError(f"size: smallconv expected at least 8 pixels a side, got {size}")
    body = SmallConv(int(width) if width else DEFAULT_WIDTH, size=size, channels=channels)
    return Encoder(
        body,
        dim=body.dim,
        preprocess=Preprocess(size, _HALF, _QUARTER),
        name=f"smallconv:{body.dim // 8}",
        stem="small",
    )


def _build_airbench(
    width: str, size: int | None, stem: str | None, pretrained: bool, channels: int
) -> Encoder:
    if pretrained:
        raise ValueError("airbench has no published weights; give a file or a run folder instead")
    if stem == "standard":
        raise ValueError("airbench has only the small stem; leave stem out")
    if (width and not width.isdigit()) or width == "0":
        raise ValueError(f"encoder airbench: expected a width of at least 1, got {width!r}")
    size = size or 32
    if size < 16:
        raise ValueError(f"size: airbench expected at least 16 pixels a side, got {size}")
    body = AirbenchNet(int(width) if width else AIRBENCH_WIDTH, channels=channels)
    return Encoder(
        body,
        dim=body.dim,
        preprocess=Preprocess(size, _HALF, _QUARTER),
        name=f"airbench:{body.dim // 4}",
        stem="small",
    )


def _build_resnet_cifar(
    layers: str, size: int | None, stem: str | None, pretrained: bool, channels: int
) -> Encoder:
    if layers not in map(str, LAYERS):
        allowed = ", ".join(f"resnet_cifar:{n}" for n in LAYERS)
        raise ValueError(
            f"encoder resnet_cifar: expected its number of layers, one of {allowed}, got {layers!r}"
        )
    if pretrained:
        raise ValueError(
            "resnet_cifar has no published weights to fetch; give a file or random to --init"
        )
    if stem == "standard":
        raise ValueError("resnet_cifar has only the small stem; leave stem out")
    size = size or 32
    if size < 8:
        raise ValueError(f"size: resnet_cifar expected at least 8 pixels a side, got {size}")
    return Encoder(
        SmallResNet((int(layers) - 2) // 6, channels=channels),
        dim=DIM,
        preprocess=Preprocess(size, IMAGENET_MEAN, IMAGENET_STD),
        name=f"resnet_cifar:{layers}",
        stem="small",
    )


def _build_pixels(side: str, size: int | None, stem: str | None, channels: int) -> Encoder:
    if stem is not None:
        raise ValueError("pixels have no stem; leave stem out")
    if side and (not side.isdigit() or side == "0"):
        raise ValueError(f"encoder pixels: expected a side of at least 1 pixel, got {side!r}")
    size = int(side) if side else size or 32
    body = Pixels(size, channels=channels)
    pixels = Preprocess(size, (0.0,) * channels, (1.0,) * channels)
    return Encoder(body, dim=body.dim, preprocess=pixels, name=f"{PIXELS}:{size}", stem="standard")


def _unknown_family(family: str, model: str) -> str:
    """The error for a name of no family: the library that has the model, or the nearest names."""
    if model:
        families = [name for name in FAMILIES if name not in ("ckpt", "random")]
        known = unknown_name("encoder", family, families)
        if is_outside(f"{family}:{model}"):
            known += f"; or {FORM} (there is no module {family})"
    else:
        import timm

        if family in timm.list_models():
            return f"encoder {family!r} lacks its library: write timm:{family}"
        near = [f"timm:{m}" for m in timm.list_models(f"*{family}*")[:3]]
        known = unknown_name(
            "encoder", family, ["smallconv", "airbench", PIXELS, *ENCODERS.names(), *near]
        )
        known += ", resnet_cifar:LAYERS, timm:NAME, torchvision:NAME, hf:NAME"
    there = f" (there is none at {family!r})" if not model and re.search("[/.]", family) else ""
    return f"{known}; embed and select also take a run folder{there}, its checkpoints and ckpt:FILE"


def _use_small_stem(name: str, body: Any) -> None:
    """Give a ResNet a 3x3 stride-1 first convolution and no max-pool."""
    if not is_resnet(body):
        raise ValueError(f"stem: 'small' is for ResNets only, got {name}; leave stem out")
    first = body.conv1
    if isinstance(first, nn.Sequential):  # a deep stem already consists of three 3x3 convolutions
        deep: Any = first[0]
        deep.stride = (1, 1)
    else:
        new = nn.Conv2d(first.in_channels, first.out_channels, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        body.conv1 = new
    body.maxpool = nn.Identity()
