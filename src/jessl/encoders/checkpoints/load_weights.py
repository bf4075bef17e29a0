"""Loading the weights of a file into an encoder: all of its tensors, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from jessl.core.deprecation import renamed_arguments
from jessl.core.log import Log
from jessl.core.validation import escape_control
from jessl.encoders.checkpoints.matching import (
    Match,
    Tensors,
    find_matches,
    is_head,
    pick_match,
    required,
)
from jessl.encoders.checkpoints.reading import read_tensors
from jessl.encoders.encoder import Encoder
from jessl.encoders.load_report import LoadReport
from jessl.encoders.stem_channels import adaptation, adapted_weight

# prefix of an encoder's `Expansion`
_EXPANSION = "expansion."
# prefix of the body beside it
_BODY = "body."
# tensors that a note names
_MOST_NAMED = 3
# text in a file's names -> library or trainer that writes it; for people, nothing depends on it
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


@renamed_arguments(tell="log")
def load_weights(
    encoder: Encoder,
    path: str | Path,
    *,
    log: Log | None = None,
    key: str | None = None,
) -> LoadReport:
    """Load weights into an encoder, whatever the prefix of their names in the file (`matching`).

    Example:
        report = load_weights(build_encoder("torchvision:resnet50"), "moco_v2.pth.tar")
        print(report)

    The `Expansion` of an encoder is loaded from a file that has one, such as a run's checkpoint;
    weights of the body alone leave it random, with a note in the report. NaN and infinite numbers
    are loaded, with a note too.

    Args:
        encoder: changed in place; unchanged where the file is refused.
        path: as `reading.read_file`.
        log: receives one line where the `Expansion` stays random.
        key: the prefix to load where a file is complete under several, e.g.
            "module.encoder_k."; None: the one that the method's publication evaluates (query,
            teacher, online encoder), else the first of the file.

    Raises:
        ValueError: when the file lacks tensors of the encoder, shapes differ, the encoder's layers
            have more tensors in the file, or nothing is complete under `key`.
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
    """`load_weights` for tensors that were read from `path` before."""
    wanted = encoder.body.state_dict()
    candidates = find_matches(tensors, wanted)
    notes: tuple[str, ...] = ()
    stem = _rgb_stem(candidates[0], tensors, wanted, encoder.channels)
    if stem is not None:
        tensors = {**tensors, stem: adapted_weight(tensors[stem], encoder.channels)}
        candidates = find_matches(tensors, wanted)
        notes = (adaptation(encoder.channels),)
    mismatch = f"{path} does not fit encoder {encoder.name} ({encoder.stem} stem): "
    if not candidates[0].complete:
        line = _describe_mismatch("", candidates[0], tensors, wanted)
        if encoder.stem == "small" and _has_standard_stem(candidates[0], tensors):
            line += "; stem standard is that of the file"
        raise ValueError(escape_control(mismatch + line))
    match = pick_match(candidates, key)
    if match is None:
        known = ", ".join(repr(m.prefix) for m in candidates)
        raise ValueError(escape_control(f"key {key!r}: {path} is complete under {known} only"))
    if match.surplus:
        raise ValueError(
            escape_control(
                f"{mismatch}besides the {len(required(wanted))} expected tensors it has "
                f"{len(match.surplus)} more in the same layers, first {match.surplus[0]!r}: it is "
                "another net"
            )
        )
    loaded = dict(match.names)
    expansion = _expansion_prefix(match)
    if encoder.expansion is not None:
        own = encoder.expansion.state_dict()
        if expansion is not None and any(name.startswith(expansion) for name in tensors):
            at = [m for m in find_matches(_strip_prefix(tensors, expansion), own) if m.prefix == ""]
            if not at or not at[0].complete:
                best = at[0] if at else Match("", "", {}, tuple(required(own)), {}, ())
                line = _describe_mismatch(_EXPANSION, best, _strip_prefix(tensors, expansion), own)
                raise ValueError(escape_control(mismatch + line))
            fitted = {k: expansion + name for k, name in at[0].names.items()}
            _copy_tensors(encoder.expansion, fitted, tensors)
            loaded |= {_EXPANSION + k: name for k, name in fitted.items()}
        elif log is not None:
            log.info(f"{path} has no expansion to {encoder.dim} features: its weights stay random")
    _copy_tensors(encoder.body, match.names, tensors)
    report = _build_report(
        path, match, [m for m in candidates if m is not match], loaded, tensors, encoder
    )
    return replace(report, notes=(*report.notes, *notes))


def _rgb_stem(match: Match, tensors: Tensors, wanted: Tensors, channels: int) -> str | None:
    """The name in the file of a convolution of RGB that alone does not fit an encoder of bands."""
    if channels == 3 or match.missing or len(match.misfits) != 1:
        return None
    ((own, name),) = match.misfits.items()
    (out, _, *kernel), shape = wanted[own].shape, tuple(tensors[name].shape)
    return name if len(kernel) == 2 and shape == (out, 3, *kernel) else None


def _copy_tensors(module: torch.nn.Module, names: dict[str, str], tensors: Tensors) -> None:
    own = module.state_dict()
    module.load_state_dict({k: tensors[names[k]] if k in names else v for k, v in own.items()})


def _expansion_prefix(match: Match) -> str | None:
    """The prefix of an encoder's `Expansion`, beside that of the body; None: not a jessl file."""
    if match.prefix.endswith(_BODY) and (match.prefix == _BODY or match.prefix[-6] == "."):
        return match.prefix.removesuffix(_BODY) + _EXPANSION
    return None


def _strip_prefix(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _describe_mismatch(
    under: str, match: Match, tensors: Tensors, wanted: Mapping[str, torch.Tensor]
) -> str:
    """Which tensors a file lacks; the encoder's names for them begin with `under`."""
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
            f"{len(match.misfits)} differ, first {under}{first} is "
            f"{_describe_tensor(tensors[name])} in the file and "
            f"{_describe_tensor(wanted[first])} in the encoder"
        )
    if not match.fitting and not match.misfits:
        parts.append(f"the file has {len(tensors)}, first {next(iter(tensors), '')!r}")
    return "; ".join(parts)


def _has_standard_stem(match: Match, tensors: Tensors) -> bool:
    """Whether only a first convolution differs, which is 7 x 7 in the file, as of a ResNet."""
    shapes = [tuple(tensors[name].shape) for name in match.misfits.values()]
    return not match.missing and len(shapes) == 1 and shapes[0][2:] == (7, 7)


def _describe_tensor(tensor: torch.Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f"{tensor.dtype} ".removeprefix("torch.")
    return f"{kind}{list(tensor.shape)}"


def _build_report(
    path: str | Path,
    match: Match,
    others: list[Match],
    loaded: dict[str, str],
    tensors: Tensors,
    encoder: Encoder,
) -> LoadReport:
    used = set(loaded.values())
    expansion = _expansion_prefix(match)
    scope = match.prefix if expansion is None else expansion.removesuffix(_EXPANSION)
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
    notes += _non_finite_notes(tensors, loaded.values())
    n, wanted = len(required(loaded)), len(required(encoder.state_dict()))
    if n < wanted:
        notes.append(
            f"{wanted - n} tensors of the expansion to {encoder.dim} features are not in the file "
            "and stay random"
        )
    return LoadReport(
        file=str(path),
        format=_recognise_format(tensors),
        prefix=match.prefix,
        matched=n,
        wanted=wanted,
        unused=tuple(unused),
        aside=aside,
        others=tuple(o.prefix for o in others),
        notes=tuple(notes),
    )


def _non_finite_notes(tensors: Tensors, names: Iterable[str]) -> list[str]:
    """A note on the tensors that hold NaN or infinite numbers, if any."""
    # compared in float32, in which some finite float64 numbers are infinite
    bad = [name for name in names if not torch.isfinite(tensors[name].float()).all()]
    if not bad:
        return []
    more = f" and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
    named = ", ".join(bad[:_MOST_NAMED]) + more
    return [f"{len(bad)} tensors hold NaN or infinite numbers: {named}"]


def _recognise_format(tensors: Tensors) -> str:
    dotted = [f".{name}" for name in tensors]
    for word, what in _FORMATS:
        if any(f".{word}" in name for name in dotted):
            return what
    return "plain names"
