"""The depth of each parameter of an encoder, from the stem (0) to its last block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from jessl.encoders.encoder import Encoder

# lists of blocks, which are opened; every other module is one block
_LISTS = (nn.Sequential, nn.ModuleList)


def parameter_depths(encoder: Encoder) -> dict[str, int]:
    """Name of a parameter -> its depth; deeper blocks have larger numbers, without gaps.

    Models of timm have their own order (`group_matcher`). Elsewhere the blocks are the parts of the
    body in the order in which it holds them, lists of blocks taken apart. A part without weights of
    two dimensions (a norm layer) belongs to the block before it, a parameter of the body itself (a
    class token) to the stem. An `Expansion` is the last block.

    Example:
        parameter_depths(build_encoder("smallconv"))["body.layers.0.weight"]  # 0, of 0 to 3

    Source: the layer-wise rates of BEiT (Bao et al., ICLR 2022, arXiv 2106.08254), as timm has
    them.
    """
    body: Any = encoder.body
    matcher = getattr(body, "group_matcher", None)
    if callable(matcher):
        from timm.models import group_parameters

        depths = group_parameters(body, matcher(coarse=False), reverse=True)
    else:
        depths = _depths_of_blocks(body)
    last = max(depths.values(), default=-1)
    named = {f"body.{name}": depths.get(name, last) for name, _ in body.named_parameters()}
    if encoder.expansion is not None:
        named |= {f"expansion.{name}": last + 1 for name, _ in encoder.expansion.named_parameters()}
    return named


def _depths_of_blocks(body: nn.Module) -> dict[str, int]:
    depths: dict[str, int] = {}
    depth = -1
    for name, part in _blocks(body, body):
        if depth < 0 or any(p.ndim > 1 for p in part.parameters()):
            depth += 1
        depths |= {f"{name}.{k}": depth for k, _ in part.named_parameters()}
    return {name: depths.get(name, 0) for name, _ in body.named_parameters()}


def _blocks(
    module: nn.Module, body: nn.Module, prefix: str = ""
) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a module that have parameters, by name; lists are opened.

    So is a module whose lists of blocks hold more than half of the body's parameters (the encoder
    of a transformer).
    """
    for name, child in module.named_children():
        if not any(True for _ in child.parameters()):
            continue
        path = f"{prefix}{name}"
        if isinstance(child, _LISTS) or _holds_most(child, body):
            yield from _blocks(child, body, f"{path}.")
        else:
            yield path, child


def _holds_most(module: nn.Module, body: nn.Module) -> bool:
    return any(
        isinstance(part, _LISTS) and 2 * _size(part) > _size(body) for part in module.modules()
    )


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
