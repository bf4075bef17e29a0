"""Encoders by name: `smallconv[:WIDTH]`, `resnet_cifar:LAYERS`, `timm:NAME`, `torchvision:NAME`,
`hf:NAME`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.validation import check_choice, check_int, unknown_name
from jessl.encoders.encoder import Encoder, Preprocess
from jessl.encoders.expansion import Expansion, has_plane, is_resnet
from jessl.encoders.nets.resnet_cifar import DIM, LAYERS, SmallResNet
from jessl.encoders.nets.smallconv import DEFAULT_WIDTH, SmallConv

_HALF = (0.5, 0.5, 0.5)
_QUARTER = (0.25, 0.25, 0.25)

# library -> for example
_FAMILIES = {
    "timm": "timm:resnet18",
    "torchvision": "torchvision:resnet18",
    "hf": "hf:facebook/dinov2-small",
}

# up to this side a ResNet's stride-2 stem and max-pool throw most of the image away
SMALL_STEM_PX = 64


def build_encoder(
    name: str,
    *,
    size: int | None = None,
    stem: str | None = None,
    pretrained: bool = False,
    dim: int | None = None,
) -> Encoder:
    """Build an encoder.

    Args:
        name: `smallconv` or `smallconv:WIDTH` (own small net, dim 8 x WIDTH, default 32),
            `resnet_cifar:LAYERS` (He et al. 2015, section 4.2; 64 features), `timm:NAME`,
            `torchvision:NAME`, or `hf:NAME` (transformers; a name of the hub or a folder).
        size: side of the images, pixels; None: what the published weights expect, 32 for smallconv
            and resnet_cifar.
        stem: "small" (3x3 stride 1, no max-pool; ResNets only), "standard", or None: small for
            ResNets up to 64 pixels unless `pretrained`.
        pretrained: fetch the published weights (needs the network the first time).
        dim: features that the representation gets from a block of random weights (`Expansion`),
            >= 1: before the average pooling of smallconv and of ResNets, behind any other model.
            None: those of the model, without a block.

    Raises:
        ValueError: for an unknown family or name, with the nearest names, a stem that does not
            fit, or a dim that is no whole number of at least 1.
    """
    if dim is not None:
        dim = check_int("dim", dim, 1)
    encoder = _plain(name, size, stem, pretrained)
    if dim is not None:
        encoder.expand(Expansion(encoder.dim, dim, planes=has_plane(encoder.body)))
    return encoder


def _plain(name: str, size: int | None, stem: str | None, pretrained: bool) -> Encoder:
    """The encoder as its library has it, but for head and stem."""
    family, _, rest = name.partition(":")
    if stem is not None:
        check_choice("stem", stem, ("small", "standard"))
    if family == "smallconv":
        return _smallconv(rest, size, stem, pretrained)
    if family == "resnet_cifar":
        return _resnet_cifar(rest, size, stem, pretrained)
    if family == "ckpt":
        raise ValueError(
            f"encoder {name!r} is a file of weights, which embed and select take; to train from it "
            "name its net and give the file to --init"
        )
    if not rest and family not in _FAMILIES:
        raise ValueError(_no_family(family))
    check_choice("encoder", family, ("smallconv", "resnet_cifar", *_FAMILIES))
    if not rest:
        raise ValueError(f"encoder {name!r} lacks a model: {family}:NAME, e.g. {_FAMILIES[family]}")
    make = {"timm": _timm, "torchvision": _torchvision, "hf": _hf}[family]
    body, preprocess = make(rest, size, pretrained)
    small = stem == "small" or (
        stem is None and not pretrained and preprocess.size <= SMALL_STEM_PX and is_resnet(body)
    )
    if small:
        _small_stem(name, body)
    stem = "small" if small else "standard"
    dim = _output_width(name, body, preprocess.size)
    return Encoder(body, dim=dim, preprocess=preprocess, name=name, stem=stem)


def _smallconv(rest: str, size: int | None, stem: str | None, pretrained: bool) -> Encoder:
    if pretrained:
        raise ValueError("smallconv has no published weights; give a file or a run folder instead")
    if stem == "standard":
        raise ValueError("smallconv has only the small stem; leave stem out")
    if (rest and not rest.isdigit()) or rest == "0":
        raise ValueError(f"encoder smallconv takes a width of 1 or more, got {rest!r}")
    size = size or 32
    if size < 8:
        raise ValueError(f"smallconv needs images of at least 8 pixels a side, got {size}")
    width = int(rest) if rest else DEFAULT_WIDTH
    body = SmallConv(width, size=size)
    name = f"smallconv:{width}"
    return Encoder(
        body, dim=body.dim, preprocess=Preprocess(size, _HALF, _QUARTER), name=name, stem="small"
    )


def _resnet_cifar(rest: str, size: int | None, stem: str | None, pretrained: bool) -> Encoder:
    if rest not in map(str, LAYERS):
        allowed = ", ".join(f"resnet_cifar:{n}" for n in LAYERS)
        raise ValueError(
            f"encoder resnet_cifar takes its number of layers, got {rest!r}: {allowed}"
        )
    if pretrained:
        raise ValueError(
            "resnet_cifar has no published weights to fetch; give a file or random to --init"
        )
    if stem == "standard":
        raise ValueError("resnet_cifar has only the small stem; leave stem out")
    size = size or 32
    if size < 8:
        raise ValueError(f"resnet_cifar needs images of at least 8 pixels a side, got {size}")
    preprocess = Preprocess(size, IMAGENET_MEAN, IMAGENET_STD)
    body = SmallResNet((int(rest) - 2) // 6)
    name = f"resnet_cifar:{rest}"
    return Encoder(body, dim=DIM, preprocess=preprocess, name=name, stem="small")


def _hf(name: str, size: int | None, pretrained: bool) -> tuple[nn.Module, Preprocess]:
    from jessl.encoders.huggingface import build_hub

    return build_hub(name, size, pretrained)


def _output_width(name: str, body: nn.Module, size: int) -> int:
    """Features of an image, by trying: what models say of themselves is often another layer's."""
    was_training = body.training
    body.eval()
    try:
        with torch.no_grad():
            out = body(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"encoder {name} does not take {size} px images: {reason}") from None
    finally:
        body.train(was_training)
    if not isinstance(out, torch.Tensor) or out.ndim != 2:
        raise ValueError(f"encoder {name} does not give one vector an image; take another")
    return out.shape[1]


def _timm(name: str, size: int | None, pretrained: bool) -> tuple[nn.Module, Preprocess]:
    import timm

    base = name.partition(".")[0]
    known = timm.list_models()
    if base not in known:
        raise ValueError(unknown_name("timm model", name, known, most=8))
    options: dict[str, Any] = {}
    card = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if card is not None and card.fixed_input_size:
        # transformers: positions follow the size of each image (multi-crop, growing sides)
        options["dynamic_img_size"] = True
        if size is not None:
            options["img_size"] = size

    def make() -> nn.Module:
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
        except TypeError as error:
            if options.pop("dynamic_img_size", None) is None or "dynamic" not in str(error):
                raise  # not a model that lacks the option
            return make()

    body: Any = _fetched(name, make)
    data = timm.data.resolve_data_config({}, model=body)
    preprocess = Preprocess(
        size or data["input_size"][1],
        tuple(data["mean"]),
        tuple(data["std"]),
        data["crop_pct"] if pretrained and size is None else 1.0,
    )
    return body, preprocess


def _torchvision(name: str, size: int | None, pretrained: bool) -> tuple[nn.Module, Preprocess]:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(unknown_name("torchvision model", name, known, most=8))
    options: dict[str, Any] = {"weights": "DEFAULT"} if pretrained else {}
    if name.startswith("vit") and size is not None and not pretrained:
        options["image_size"] = size
    body = _fetched(name, lambda: torchvision.models.get_model(name, **options))
    if hasattr(body, "aux_logits"):  # inception's second classifiers: a tuple while training
        for attribute in ("aux1", "aux2", "AuxLogits"):
            setattr(body, attribute, None)
        setattr(body, "aux_logits", False)  # noqa: B010  # not a module: mypy takes it for one
    _cut_head(name, body)
    if not pretrained or size is not None:
        return body, Preprocess(size or 224, IMAGENET_MEAN, IMAGENET_STD)
    card = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    crop, resize = card.crop_size[0], card.resize_size[0]
    return body, Preprocess(crop, tuple(card.mean), tuple(card.std), crop / resize)


def _no_family(name: str) -> str:
    """The line for a bare model name: where it is to be had, or what comes near."""
    import timm

    if name in timm.list_models():
        return f"encoder {name!r} lacks its family: write timm:{name}"
    near = [f"timm:{m}" for m in timm.list_models(f"*{name}*")[:3]]
    known = unknown_name("encoder", name, ["smallconv", *near])
    known += ", resnet_cifar:LAYERS, timm:NAME, torchvision:NAME, hf:NAME"
    if "/" in name or "." in name:
        return f"{known}, or a run folder (there is none at {name!r}); ckpt:FILE takes weights"
    return f"{known}, or a run folder; ckpt:FILE takes weights"


def _fetched(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """Run `make`; a failed fetch of weights becomes one line."""
    from urllib.error import URLError

    # the hub's client announces each of its dozen retries
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both libraries warn about their own defaults
            return make()
    except (URLError, OSError) as error:
        raise ValueError(
            f"the published weights of {name} could not be fetched ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}); download them elsewhere and give the file to --init"
        ) from None


def _cut_head(name: str, body: nn.Module) -> None:
    """Replace the last linear layer of a torchvision classifier by the identity."""
    for attribute in ("fc", "classifier", "heads", "head"):
        head = getattr(body, attribute, None)
        if isinstance(head, nn.Linear):
            setattr(body, attribute, nn.Identity())
            return
        if isinstance(head, nn.Sequential):
            for key, layer in reversed(list(head.named_children())):
                if isinstance(layer, nn.Linear):
                    setattr(head, key, nn.Identity())
                    return
    raise ValueError(f"torchvision model {name!r} has no linear head to cut; take it from timm")


def _small_stem(name: str, body: Any) -> None:
    """Give a ResNet a 3x3 stride-1 first convolution and no max-pool."""
    if not is_resnet(body):
        raise ValueError(f"stem 'small' is for ResNets; {name} is none, leave stem out")
    first = body.conv1
    if isinstance(first, nn.Sequential):  # a deep stem is three 3x3 already
        deep: Any = first[0]
        deep.stride = (1, 1)
    else:
        new = nn.Conv2d(first.in_channels, first.out_channels, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        body.conv1 = new
    body.maxpool = nn.Identity()
