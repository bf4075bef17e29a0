"""The architecture of a file of weights, inferred from names and shapes of its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from jessl.core.validation import escape_control
from jessl.encoders.build import build_encoder
from jessl.encoders.checkpoints.matching import Tensors, find_matches, pick_match, required
from jessl.encoders.nets.resnet_cifar import LAYERS

# width -> size in timm's names
_VITS = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
_RESNETS = (18, 34, 50, 101, 152)
# side of the images, pixels, of nets whose first convolution is 3x3
SMALL_PX = 32
_KNOWN = (
    "ResNet-18 to -152, ResNets for CIFAR, ViT tiny to large and MobileNetV2 are recognised by "
    "their tensors; for others give arch, such as timm:NAME"
)


@dataclass(frozen=True)
class InferredArchitecture:
    """The arguments of `build_encoder` that match a file of weights.

    Attributes:
        arch, stem, size: as `name`, `stem` and `size` of `build_encoder`.
        imagenet: normalise pixels by ImageNet's mean and std instead of those of `arch`.
        notes: facts that the tensors do not show.
    """

    arch: str
    stem: str | None = None
    size: int | None = None
    imagenet: bool = False
    notes: tuple[str, ...] = ()


def infer_architecture(
    tensors: Tensors, path: str | Path, key: str | None = None
) -> InferredArchitecture:
    """Infer the one known net whose tensors a file has: all of them and no others.

    Raises:
        ValueError: for any other file, with the nearest net and the argument to give.
    """
    near = ""
    inferred: list[tuple[InferredArchitecture, str]] = []
    for candidate in _candidates(tensors):
        with torch.device("meta"):
            net = build_encoder(candidate.arch, stem=candidate.stem, size=candidate.size)
        wanted = net.body.state_dict()
        best, *others = find_matches(tensors, wanted)
        alone = [m for m in (best, *others) if best.complete and not m.surplus]
        match = pick_match(alone, key) if alone else None
        if match is not None:
            inferred.append((candidate, match.prefix))
        elif alone:
            under = ", ".join(repr(m.prefix) for m in alone)
            near = f" under key {key!r}; those of {candidate.arch} are under {under}"
        elif best.complete and best.surplus:
            near = (
                f"; those of {candidate.arch} and others in its layers, first {best.surplus[0]!r}"
            )
        elif not near and 2 * best.fitting > len(required(wanted)):
            lacking = [*best.missing, *best.misfits]
            near = (
                f"; most like {candidate.arch}, but {lacking[0]!r} is missing or of another shape"
            )
    if len(inferred) == 1:
        return inferred[0][0]
    if inferred:
        several = ", ".join(f"{candidate.arch} under {prefix!r}" for candidate, prefix in inferred)
        raise ValueError(escape_control(f"arch: {path} holds several nets: {several}; give arch"))
    raise ValueError(
        escape_control(
            f"arch: {path} has {len(tensors)} tensors that match no known net{near}. {_KNOWN}"
        )
    )


def _candidates(tensors: Tensors) -> Iterator[InferredArchitecture]:
    """Nets that may match, larger ones first: a ResNet-34 has all tensors of a ResNet-18."""
    shapes = {tuple(t.shape) for t in tensors.values()}
    if (64, 3, 7, 7) in shapes or (64, 3, 3, 3) in shapes:
        small = (64, 3, 7, 7) not in shapes
        stem, size = ("small", SMALL_PX) if small else ("standard", None)
        for layers in reversed(_RESNETS):
            yield InferredArchitecture(f"torchvision:resnet{layers}", stem, size)
    if (16, 3, 3, 3) in shapes:
        for layers in reversed(LAYERS):
            yield InferredArchitecture(f"resnet_cifar:{layers}")
    if (32, 3, 3, 3) in shapes:
        yield InferredArchitecture("torchvision:mobilenet_v2")
    yield from _vit_candidates(tensors)


def _vit_candidates(tensors: Tensors) -> Iterator[InferredArchitecture]:
    """ViTs by width, side of a patch and number of positions."""
    import timm

    tried = set()
    for name, tensor in tensors.items():
        if not name.endswith("patch_embed.proj.weight") or tensor.ndim != 4:
            continue
        width, _, patch, _ = tensor.shape
        places = tensors.get(name.removesuffix("patch_embed.proj.weight") + "pos_embed")
        if width not in _VITS or places is None or places.ndim != 3:
            continue
        side = math.isqrt(places.shape[1] - 1)
        if side * side != places.shape[1] - 1 or (width, patch, side) in tried:
            continue
        tried.add((width, patch, side))
        arch = f"vit_{_VITS[width]}_patch{patch}_224"
        if arch in timm.list_models():
            note = (
                "the tensors do not show a ViT's number of heads: timm's is used; pixels are "
                "normalised by ImageNet's mean and std (for timm's own weights give arch)"
            )
            yield InferredArchitecture(f"timm:{arch}", None, side * patch, True, (note,))


def has_ambiguous_heads(arch: str, prefix: str) -> bool:
    """Whether a file looks like MoCo v3's small ViT, with 12 heads of attention (its vits.py).

    timm's has 6, and the same shapes of tensors.
    """
    return "vit_small" in arch and ("base_encoder." in prefix or "momentum_encoder." in prefix)
