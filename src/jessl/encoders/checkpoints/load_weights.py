"""Weights of files into encoders: every tensor that is wanted, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from jessl.core.log import Log
from jessl.core.validation import escape_control
from jessl.encoders.checkpoints.matching import (
    Match,
    Tensors,
    is_head,
    matches,
    preferred,
    required,
)
from jessl.encoders.checkpoints.reading import read_tensors
from jessl.encoders.encoder import Encoder
from jessl.encoders.load_report import LoadReport

# where an encoder keeps the block to its own number of features
_EXPANSION = "expansion."
# what stands before the body's names where that block stands beside it
_BODY = "body."
# so many tensors of a kind are named
_NAMED = 3
# names in a file -> who writes such; for people to read, nothing depends on it
_FORMATS = (
    ("classy_state_dict.", "VISSL"),
    ("encoder_q.", "MoCo"),
    ("base_encoder.", "MoCo v3"),
    ("momentum_backbone.", "solo-learn"),
    ("online_encoder.", "BYOL"),
    ("online_network.", "BYOL"),
    ("teacher.", "teacher and student"),
    ("encoder.body.", "jessl"),
    ("state_dict.", "state_dict of a trainer"),
    ("model.", "model of a trainer"),
)


def load_weights(
    encoder: Encoder,
    path: str | Path,
    *,
    log: Log | None = None,
    key: str | None = None,
) -> LoadReport:
    """Load weights into an encoder, whatever stands before their names in the file (`matching`).

    The block of an encoder with its own `dim` is loaded from a file that has one, such as a run's
    checkpoint; weights of the body alone leave it random, and the report says so. NaN and infinite
    numbers are loaded as they are and told.

    Args:
        encoder: in place; untouched where the file is refused.
        path: as `reading.read_file`.
        log: called with one line where the block stays random.
        key: which to take where a file is complete under several prefixes, e.g.
            "module.encoder_k."; None: what the method's publication judges (query, teacher,
            online encoder), else the first of the file.

    Raises:
        ValueError: when the file lacks tensors of the encoder, shapes differ, it has more tensors
            in the encoder's own layers, or nothing is complete under `key`.
    """
    return load_tensors(encoder, read_tensors(path), path, log=log, key=key)


def load_tensors(
    encoder: Encoder,
    tensors: Tensors,
    path: str | Path,
    *,
    log: Log | None = None,
    key: str | None = None,
) -> LoadReport:
    """`load_weights` of tensors that were read from `path` already."""
    wanted = encoder.body.state_dict()
    found = matches(tensors, wanted)
    fits_not = f"{path} does not fit encoder {encoder.name} ({encoder.stem} stem): "
    if not found[0].complete:
        raise ValueError(escape_control(fits_not + _lack("", found[0], tensors, wanted)))
    match = preferred(found, key)
    if match is None:
        known = ", ".join(repr(m.prefix) for m in found)
        raise ValueError(escape_control(f"key {key!r}: {path} is complete under {known} only"))
    if match.surplus:
        raise ValueError(
            escape_control(
                f"{fits_not}beside the {len(required(wanted))} wanted tensors it has "
                f"{len(match.surplus)} more in the same layers, first {match.surplus[0]!r}: it is "
                "another net"
            )
        )
    taken = dict(match.names)
    block = _block_prefix(match)
    if encoder.expansion is not None:
        own = encoder.expansion.state_dict()
        if block is not None and any(name.startswith(block) for name in tensors):
            at = [m for m in matches(_under(tensors, block), own) if m.prefix == ""]
            if not at or not at[0].complete:
                best = at[0] if at else Match("", "", {}, tuple(required(own)), {}, ())
                line = _lack(_EXPANSION, best, _under(tensors, block), own)
                raise ValueError(escape_control(fits_not + line))
            fitted = {k: block + name for k, name in at[0].names.items()}
            _copy(encoder.expansion, fitted, tensors)
            taken |= {_EXPANSION + k: name for k, name in fitted.items()}
        elif log is not None:
            log.info(f"{path} has no block to {encoder.dim} features: its weights stay random")
    _copy(encoder.body, match.names, tensors)
    return _report(path, match, [m for m in found if m is not match], taken, tensors, encoder)


def _copy(module: torch.nn.Module, names: dict[str, str], tensors: Tensors) -> None:
    own = module.state_dict()
    module.load_state_dict({k: tensors[names[k]] if k in names else v for k, v in own.items()})


def _block_prefix(match: Match) -> str | None:
    """Where the block to an encoder's own number of features would be; it stands beside a body."""
    if match.prefix.endswith(_BODY) and (match.prefix == _BODY or match.prefix[-6] == "."):
        return match.prefix.removesuffix(_BODY) + _EXPANSION
    return None


def _under(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _lack(under: str, match: Match, tensors: Tensors, wanted: Mapping[str, torch.Tensor]) -> str:
    """What a file lacks of the wanted tensors, which the encoder names with `under` before."""
    n = len(required(wanted))
    where = f"under the best prefix {match.prefix!r}" if match.prefix else "under their plain names"
    parts = [f"{match.fitting} of {n} tensors fit {where}"] if match.fitting else []
    if match.missing:
        parts.append(
            f"{len(match.missing)} of {n} tensors are missing, first {under + match.missing[0]!r}"
        )
    if match.misfits:
        first, name = next(iter(match.misfits.items()))
        parts.append(
            f"{len(match.misfits)} differ, first {under}{first} is {_said(tensors[name])} in the "
            f"file and {_said(wanted[first])} in the encoder"
        )
    if not match.fitting and not match.misfits:
        parts.append(f"the file has {len(tensors)}, first {next(iter(tensors), '')!r}")
    return "; ".join(parts)


def _said(tensor: torch.Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f"{tensor.dtype} ".removeprefix("torch.")
    return f"{kind}{list(tensor.shape)}"


def _report(
    path: str | Path,
    match: Match,
    others: list[Match],
    taken: dict[str, str],
    tensors: Tensors,
    encoder: Encoder,
) -> LoadReport:
    used = set(taken.values())
    block = _block_prefix(match)
    scope = match.prefix if block is None else block.removesuffix(_EXPANSION)
    complete = tuple(o.prefix for o in others if o.prefix != scope and o.prefix.startswith(scope))
    unused, aside = [], 0
    elsewhere = {name for o in others for name in o.names.values()}
    for name in tensors:
        if name in used or name in elsewhere or (complete and name.startswith(complete)):
            continue
        own = name.removeprefix(match.prefix)
        if name.startswith(match.prefix) and is_head(own):
            aside += 1
        elif name.startswith(scope):
            unused.append(own if name.startswith(match.prefix) else name.removeprefix(scope))
        else:
            aside += 1
    notes = [f"names: {match.spelling}"] if match.spelling else []
    before = {
        str(tensors[name].dtype).removeprefix("torch.")
        for name in used
        if tensors[name].is_floating_point() and tensors[name].dtype != torch.float32
    }
    if before:
        notes.append(f"{' and '.join(sorted(before))} converted to float32")
    notes += _not_finite(tensors, taken.values())
    n, wanted = len(required(taken)), len(required(encoder.state_dict()))
    if n < wanted:
        notes.append(
            f"{wanted - n} tensors of the block to {encoder.dim} features are not in the file and "
            "stay random"
        )
    return LoadReport(
        file=str(path),
        format=_format(tensors),
        prefix=match.prefix,
        matched=n,
        wanted=wanted,
        unused=tuple(unused),
        aside=aside,
        others=tuple(o.prefix for o in others),
        notes=tuple(notes),
    )


def _not_finite(tensors: Tensors, names: Iterable[str]) -> list[str]:
    """A note on tensors whose numbers the encoder holds as NaN or infinite; none where none are."""
    # as float32, which cannot hold every float64
    bad = [name for name in names if not torch.isfinite(tensors[name].float()).all()]
    if not bad:
        return []
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    named = ", ".join(bad[:_NAMED]) + more
    return [f"{len(bad)} tensors hold NaN or infinite numbers: {named}"]


def _format(tensors: Tensors) -> str:
    dotted = [f".{name}" for name in tensors]
    for word, what in _FORMATS:
        if any(f".{word}" in name for name in dotted):
            return what
    return "plain names"
