"""The encoders of a comparison: parsing, short unique names, folders and opening."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jessl.core.validation import escape_control

_LONGEST_SLUG = 48
_LONGEST_REASON = 240
# what opening or running an external encoder may raise; bugs of jessl raise other errors
FAILURES = (ValueError, OSError, RuntimeError, ImportError)


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder as requested.

    Attributes:
        spec: the argument of `open_encoder`.
        name: short, printable and unique in the comparison.
        slug: unique name of its folder: letters, digits, ".", "_" and "-" only.
    """

    spec: str
    name: str
    slug: str


def parse_encoder_specs(encoders: Sequence[str]) -> tuple[list[EncoderSpec], list[str]]:
    """The encoders in the requested order, and notes on repeated specs.

    Raises:
        ValueError: for no encoder, or anything but a sequence of texts.
    """
    if isinstance(encoders, str) or not isinstance(encoders, Sequence):
        raise ValueError(f"encoders: expected a list of names, got {encoders!r}")
    specs = [str(spec).strip() for spec in encoders]
    if not specs or not all(specs):
        raise ValueError("encoders: expected at least one name such as timm:resnet18, got none")
    counted = Counter(specs)
    notes = [
        f"{escape_control(spec)} was named {count} times and is in the table once"
        for spec, count in counted.items()
        if count > 1
    ]
    names = {spec: _short(spec) for spec in counted}
    taken = Counter(names.values())
    names = {spec: n if taken[n] == 1 else escape_control(spec) for spec, n in names.items()}
    if len({*names.values()}) < len(names):  # a short name equals the full one of another
        names = {spec: escape_control(spec) for spec in counted}
    return [EncoderSpec(spec, names[spec], folder_name(spec)) for spec in counted], notes


def folder_name(spec: str) -> str:
    """The folder name of a spec: its readable part, and eight digits of its SHA-256.

    It never leads out of the parent folder, and two specs never share one, not even on file systems
    that ignore case.
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


def short_reason(error: BaseException) -> str:
    """An external error in one line of bounded length, without control characters."""
    reason = escape_control(" ".join(str(error).split())) or type(error).__name__
    if len(reason) > _LONGEST_REASON:
        reason = reason.partition(" Allowed:")[0]  # hundreds of names
    return reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 1] + "…"
