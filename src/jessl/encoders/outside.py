"""Encoders of other packages: a function or class, registered, installed or named by module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from jessl.core.extensions import Extensions, has_module, importable_name, is_outside
from jessl.core.validation import refuse_path_of_the_same_name
from jessl.encoders.encoder import Encoder, Preprocess, output_width
from jessl.encoders.nets.pixels import NAME as PIXELS

# library -> an example of a name
LIBRARIES = {
    "timm": "timm:resnet18",
    "torchvision": "torchvision:resnet18",
    "hf": "hf:facebook/dinov2-small",
}
# what a name of jessl begins with: none from outside can take it
FAMILIES = ("smallconv", "airbench", "resnet_cifar", PIXELS, "random", "ckpt", *LIBRARIES)

_SIZE = 32
_HALF, _QUARTER = 0.5, 0.25


def _check_builder(member: object, where: str) -> Callable[..., Any]:
    """A function or class that builds an encoder.

    Raises:
        ValueError: in one line, for anything else.
    """
    if not callable(member):
        raise ValueError(f"{where}: expected a function or class that builds it, got {member!r}")
    return member


ENCODERS: Extensions[Callable[..., Any]] = Extensions("encoder", {}, _check_builder)


def register_encoder(name: str, builder: Callable[..., Any]) -> None:
    """Let this process find an encoder of yours by its name.

    Other processes (workers of a sweep, a resumed run, the command line) find it where the function
    or class is in a module that they can import; one of a notebook is known to the notebook alone.

    Example:
        jessl.register_encoder("patches", patches)
        jessl.embed("patches", "digits")

    Args:
        name: letters, digits and underscores; not that of an encoder of jessl.
        builder: a function or class that returns a torch module from [batch, channels, size, size]
            to [batch, dim]; it is called with those of `size`, `channels` and `pretrained` that it
            takes.

    Raises:
        ValueError: for something that cannot be called, and a name that is taken.
    """
    if name in FAMILIES:
        raise ValueError(f"name: {name!r} is a built-in encoder; take another one")
    ENCODERS.register(name, builder)


def is_known_outside(name: str) -> bool:
    """Whether a name is from outside jessl: registered, installed, or of a module that exists."""
    if name.partition(":")[0] in FAMILIES:
        return False
    return name in ENCODERS.names() or (is_outside(name) and has_module(name))


def portable_encoder(name: str) -> str:
    """The name by which any process finds an encoder; names of jessl and unknown ones stay.

    Raises:
        ValueError: for a module or name that cannot be imported, and a name that is also a path.
    """
    if not is_known_outside(name):
        return name
    place = ENCODERS.portable_name(name)
    if not is_outside(name):
        other = "another one, given to register_encoder," if place == name else place
        refuse_path_of_the_same_name("encoder", name, other)
    return place


def build_outside(
    name: str, *, size: int | None, stem: str | None, pretrained: bool, channels: int, imports: bool
) -> Encoder:
    """The encoder that a function or class of another package builds.

    It is called with those of the arguments size, channels and pretrained that it takes, and
    returns an Encoder, or a module from [batch, channels, size, size] to [batch, dim]. The images
    are normalised by the module's attribute `preprocess`, a jessl.encoders.Preprocess; without one
    by mean .5 and standard deviation .25.

    Raises:
        ValueError: in one line, for a stem, something else than a module, and a module that does
            not take such images.
    """
    builder = ENCODERS.find(name, imports=imports)
    place = importable_name(builder) or name
    if stem == "small":
        raise ValueError(f"stem: 'small' is for ResNets of timm and torchvision, got {name}")
    accepted = inspect.signature(builder).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    options = {"size": size, "channels": channels, "pretrained": pretrained}
    passed = {k: v for k, v in options.items() if v is not None and (takes_all or k in accepted)}
    missing = [
        p.name
        for p in accepted.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if unknown := [argument for argument in missing if argument not in passed]:
        raise ValueError(
            f"encoder {name}: expected arguments size, channels and pretrained, or with defaults, "
            f"got {', '.join(unknown)}"
        )
    built = builder(**passed)
    if isinstance(built, Encoder):
        built.name, built.stem = place, "standard"
        return built
    if not isinstance(built, nn.Module):
        raise ValueError(f"encoder {name}: expected a torch module, got {type(built).__name__}")
    preprocess = getattr(built, "preprocess", None)
    if not isinstance(preprocess, Preprocess):
        preprocess = Preprocess(size or _SIZE, (_HALF,) * channels, (_QUARTER,) * channels)
    dim = output_width(name, built, preprocess.size, channels)
    return Encoder(built, dim=dim, preprocess=preprocess, name=place, stem="standard")
