"""Encoders of other packages: a function or class, by "package.module:Name" or entry point."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from jessl.core.extensions import Extensions, has_module, importable_name, is_outside
from jessl.encoders.encoder import Encoder, Preprocess, output_width

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


def is_known_outside(name: str) -> bool:
    """Whether a name is of another package: installed, or of a module that exists."""
    return name in ENCODERS.names() or (is_outside(name) and has_module(name))


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
