"""Which tensors of a file are those of a net: one method for the files of all libraries.

A name in a file is some prefix, then the name that the net has. Every prefix that occurs is tried,
and the one counts under which the most tensors have the wanted name and shape. Two more spellings
are tried where no prefix serves them all: "shortcut" for "downsample" (ResNets written after the
paper's words, lightly's own among them), and numbers for the names of the net's children, as
nn.Sequential(*net.children()) has them (lightly's backbones).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

Tensors = Mapping[str, torch.Tensor]
# a net's name -> the file's; of each prefix; of one prefix, all names under it
_Names = dict[str, str]
_Candidates = dict[str, _Names]
_Under = Callable[[str], _Names]

# counts batches, for a mean without momentum only; older files lack it
_OPTIONAL = "num_batches_tracked"
# what encoders do not have, by the first part of its name
_HEADS = re.compile(
    r"(fc|linear|lin|classifiers?|heads?|prototypes|queue.*|predictor.*|.*proj(ector|ection)?(_head)?"
    r"|(prediction|classification)_(head|mlp)|mlp_head|online_classifier)\d*"
)
# buffers that older files kept beside their weights
_BUFFERS = ("attn_mask", "relative_position_index", _OPTIONAL)
_NUMBERED = re.compile(r"(?:^|(?<=\.))(\d{1,9})\.")
# of two that a file holds, the one that its publication judges comes first
_PREFERRED = (
    ("encoder_q", "encoder_k"),  # MoCo: the query encoder
    ("base_encoder", "momentum_encoder"),  # MoCo v3
    ("teacher", "student"),  # DINO
    ("online", "target"),  # BYOL
    ("encoder.body.", "teacher."),  # our own runs
    ("", "momentum"),  # solo-learn, lightly
)


@dataclass(frozen=True)
class Match:
    """What a file has for a net under one prefix.

    Attributes:
        prefix: before the names; its dot included.
        spelling: how the file names them otherwise; "" for the net's own names.
        names: the net's name -> the file's, of tensors that fit.
        missing: the net's names that the file lacks.
        misfits: the net's name -> the file's, where the shape or the kind of number differs.
        surplus: the file's names among the net's own parts that the net does not have.
    """

    prefix: str
    spelling: str
    names: dict[str, str]
    missing: tuple[str, ...]
    misfits: dict[str, str]
    surplus: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor of the net is there."""
        return not self.missing and not self.misfits

    @property
    def fitting(self) -> int:
        """How many of the tensors that a file must have fit."""
        return len(required(self.names))


def required(names: Iterable[str]) -> list[str]:
    """The names of tensors that a file must have: all but counts of batches."""
    return [name for name in names if not name.endswith(_OPTIONAL)]


def is_head(name: str) -> bool:
    """Whether a name behind a prefix is that of a head, projector or queue."""
    return _HEADS.fullmatch(name.partition(".")[0]) is not None


def matches(tensors: Tensors, wanted: Tensors) -> list[Match]:
    """Every prefix under which all tensors of a net are found, in the order of the file.

    Without such a prefix the best one alone: where most tensors fit, then where most are named.
    """
    needed = set(required(wanted))
    best, rank = _match("", "", {}, tensors, wanted), (-1, -1)
    for spelling, candidates, under in _spellings(tensors, wanted):
        complete = []
        for prefix, own in candidates.items():
            fits = {k for k, name in own.items() if _fits(tensors[name], wanted[k])}
            if len(fits) == len(own) and needed <= fits:
                complete.append(_match(prefix, spelling, under(prefix), tensors, wanted))
            elif not complete and (len(fits & needed), len(own) - len(fits)) > rank:
                rank = (len(fits & needed), len(own) - len(fits))
                best = _match(prefix, spelling, under(prefix), tensors, wanted)
        if complete:
            at = {name: k for k, name in enumerate(tensors)}
            return sorted(complete, key=lambda m: min(at[name] for name in m.names.values()))
    return [best]


def preferred(complete: list[Match], key: str | None) -> Match | None:
    """The match to take of several, by the field's practice; None: nothing is complete under `key`.

    `key` is a prefix or some words of one: module.encoder_k of state_dict.module.encoder_k.
    """
    left = complete
    if key is not None:
        key = key.rstrip(".")
        exact = [m for m in complete if m.prefix.rstrip(".") == key]
        left = exact or [m for m in complete if f".{key}." in f".{m.prefix.rstrip('.')}."]
        if not left:
            return None
    for good, bad in _PREFERRED:
        better = [m for m in left if bad not in m.prefix]
        if any(good in m.prefix for m in better):
            left = better
    return left[0]


def _match(
    prefix: str, spelling: str, own: dict[str, str], tensors: Tensors, wanted: Tensors
) -> Match:
    """`own`: the net's name, or one that it lacks, -> the file's, of all names under a prefix."""
    fits = {k: own[k] for k, value in wanted.items() if k in own and _fits(tensors[own[k]], value)}
    misfits = {k: own[k] for k in wanted if k in own and k not in fits}
    missing = tuple(k for k in required(wanted) if k not in own)
    parts = {k.partition(".")[0] for k in wanted}
    surplus = tuple(
        name
        for k, name in own.items()
        if k not in wanted
        and k.partition(".")[0] in parts
        and not is_head(k)
        and not k.endswith(_BUFFERS)
    )
    return Match(prefix, spelling, fits, missing, misfits, surplus)


def _fits(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape == wanted.shape and found.is_floating_point() == wanted.is_floating_point()


def _spellings(tensors: Tensors, wanted: Tensors) -> Iterator[tuple[str, _Candidates, _Under]]:
    """(spelling, prefix -> names that the net has, what gives all names under a prefix).

    Files of others may suggest thousands of prefixes: all names are asked for of few of them only.
    """
    ranked = sorted(tensors)
    at = {name: k for k, name in enumerate(tensors)}
    for word in ("downsample", "shortcut"):
        spelled = {k.replace("downsample.", f"{word}."): k for k in wanted}
        if word == "shortcut" and spelled.keys() == wanted.keys():
            return
        how = "" if word == "downsample" else "shortcut for downsample"

        def under(prefix: str, spelled: dict[str, str] = spelled, word: str = word) -> _Names:
            names = sorted(_beginning(ranked, prefix), key=at.__getitem__)
            return {_own(name[len(prefix) :], spelled, word): name for name in names}

        yield how, _prefixed(tensors, {**{k: k for k in wanted}, **spelled}), under
        numbers = "children by number"
        full = _numbered(tensors, spelled, word)
        known = {p: {k: v for k, v in own.items() if k in wanted} for p, own in full.items()}
        yield f"{how}, {numbers}" if how else numbers, known, full.__getitem__


def _own(name: str, spelled: Mapping[str, str], word: str) -> str:
    """The net's word for a name, known or not."""
    return spelled.get(name, name.replace(f"{word}.", "downsample."))


def _prefixed(tensors: Tensors, spelled: Mapping[str, str]) -> _Candidates:
    """What stands before a name of the net. One tensor alone may suggest a prefix, such as
    layer1.0.: the count decides."""
    lengths = sorted({len(k) for k in spelled})
    found: _Candidates = {}
    for name in tensors:
        for n in lengths:
            own = spelled.get(name[-n:])
            if own is not None and n <= len(name):
                found.setdefault(name[:-n], {})[own] = name
    return found


def _beginning(ranked: list[str], prefix: str) -> Iterator[str]:
    """Those of sorted names that begin with a prefix."""
    for k in range(bisect_left(ranked, prefix), len(ranked)):
        if not ranked[k].startswith(prefix):
            return
        yield ranked[k]


def _numbered(tensors: Tensors, spelled: Mapping[str, str], word: str) -> _Candidates:
    """Prefixes with numbers behind them, which in rising order stand for the net's children."""
    children = list(dict.fromkeys(k.partition(".")[0] for k in spelled if "." in k))
    under: dict[str, dict[int, list[str]]] = {}
    for name in tensors:
        for mark in _NUMBERED.finditer(name):
            under.setdefault(name[: mark.start()], {}).setdefault(int(mark[1]), []).append(name)
    found: _Candidates = {}
    for prefix, numbers in under.items():
        own = found.setdefault(prefix, {})
        # more numbers than children: a head behind them
        for child, number in zip(children, sorted(numbers), strict=False):
            for name in numbers[number]:
                rest = name[len(f"{prefix}{number}.") :]
                own[_own(f"{child}.{rest}", spelled, word)] = name
    return found
