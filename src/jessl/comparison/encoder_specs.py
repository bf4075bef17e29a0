"""Encoders that are to be compared: opened from their specs, named, weighed and kept apart."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from jessl.core.validation import escape_control
from jessl.extraction.open_encoder import open_encoder
from jessl.extraction.opened_encoder import OpenedEncoder, weights_sha256

_LONGEST_SLUG = 48
_LONGEST_REASON = 240
# what opening or running an encoder of others may raise: our own mistakes are other errors
FAILURES = (ValueError, OSError, RuntimeError, ImportError)


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder as asked for.

    Attributes:
        spec: what `open_encoder` takes.
        name: short and printable, unlike those of all others.
        slug: name of its folder: letters, digits, ".", "_" and "-" only, unlike all others.
    """

    spec: str
    name: str
    slug: str


def encoder_specs(encoders: Sequence[str]) -> tuple[list[EncoderSpec], list[str]]:
    """Who competes, in the order asked for, and notes on specs that came twice.

    Raises:
        ValueError: for no encoder, or something that is not a row of texts.
    """
    if isinstance(encoders, str) or not isinstance(encoders, Sequence):
        raise ValueError(f"encoders: a row of names wanted, {encoders!r} came")
    specs = [str(spec).strip() for spec in encoders]
    if not specs or not all(specs):
        raise ValueError("encoders: needs at least one name such as timm:resnet18, got none")
    counted = Counter(specs)
    notes = [
        f"{escape_control(spec)} was named {count} times and stands in the table once"
        for spec, count in counted.items()
        if count > 1
    ]
    names = {spec: _short(spec) for spec in counted}
    taken = Counter(names.values())
    names = {spec: n if taken[n] == 1 else escape_control(spec) for spec, n in names.items()}
    if len({*names.values()}) < len(names):  # a short name is the whole of another
        names = {spec: escape_control(spec) for spec in counted}
    found = [EncoderSpec(spec, names[spec], slug_of(spec)) for spec in counted]
    return found, notes


def slug_of(spec: str) -> str:
    """A name of a folder for a spec: what can be read of it, and eight digits of its SHA-256.

    It never leads out of the folder it lies in, and two specs never share one, not even where
    upper and lower case are one.
    """
    digest = hashlib.sha256(spec.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", _short(spec)).strip(".-_")[:_LONGEST_SLUG]
    return f"{words}-{digest}" if words else digest


def _short(spec: str) -> str:
    """A spec without the folders that lead to a file or a run; run/step-N for a checkpoint."""
    kind, colon, rest = spec.partition(":")
    if not colon or "/" in kind:
        kind, rest = "", spec
    if kind not in ("", "ckpt"):
        return escape_control(spec)
    parts = [p for p in rest.replace("\\", "/").split("/") if p not in ("", ".")]
    if len(parts) > 2 and parts[-2] == "checkpoints":
        return escape_control(f"{parts[-3]}/{parts[-1]}")
    return escape_control(parts[-1] if parts else rest)


def open_encoder_spec(
    contender: EncoderSpec, *, size: int | None, seed: int, device: torch.device
) -> OpenedEncoder:
    """Open the encoder where it is to compute.

    Args:
        contender: as asked for.
        size: side of the input in px; None, and for folders (runs have a size): its own.
        seed: of weights that are random.
        device: where it computes.

    Raises:
        ValueError, OSError, RuntimeError, ImportError: whatever is wrong with the encoder.
    """
    own = size is None or Path(contender.spec).is_dir()
    net, _, provenance = open_encoder(contender.spec, size=None if own else size, seed=seed)
    return OpenedEncoder(
        spec=contender.spec,
        encoder=net.to(device).eval(),
        provenance=provenance,
        sha256=weights_sha256(net),
        parameters=sum(p.numel() for p in net.parameters()),
        weights_mb=sum(t.numel() * t.element_size() for t in net.state_dict().values()) / 1e6,
    )


def reason_of(error: BaseException) -> str:
    """An error of others in one line of bounded length that steers no terminal."""
    said = escape_control(" ".join(str(error).split())) or type(error).__name__
    if len(said) > _LONGEST_REASON:
        said = said.partition(" Allowed:")[0]  # hundreds of names
    return said if len(said) <= _LONGEST_REASON else said[: _LONGEST_REASON - 1] + "…"
