"""Matching the tensors of a file to those of a net: one method for the files of all libraries.

A name in a file is a prefix followed by the net's own name. Every prefix that occurs is tried, and
the one under which the most tensors have the net's names and shapes is used. Where no prefix covers
all tensors, two more spellings are tried: "shortcut" for "downsample" (ResNets that use the words
of the paper, such as lightly's), and numbers for the names of the net's children, as in
nn.Sequential(*net.children()) (lightly's backbones).
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
# modules that encoders do not have, by the first part of their names
_HEADS = re.compile(
    r"(fc|linear|lin|classifiers?|heads?|prototypes|queue.*|predictor.*|.*proj(ector|ection)?(_head)?"
    r"|(prediction|classification)_(head|mlp)|mlp_head|online_classifier)\d*"
)
# buffers that older files kept beside their weights
_BUFFERS = ("attn_mask", "relative_position_index", _OPTIONAL)
_NUMBERED = re.compile(r"(?:^|(?<=\.))(\d{1,9})\.")
# (prefix to prefer, prefix to avoid): the first is the one that the publication evaluates
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
    """The tensors of a file that belong to a net, under one prefix.

    Attributes:
        prefix: text before the names, including its dot.
        spelling: the other spelling that the file uses; "" for the net's own names.
        names: the net's name -> the file's, of tensors that match.
        missing: the net's names that the file lacks.
        misfits: the net's name -> the file's, where the shape or the kind of number differs.
        surplus: the file's names within the net's modules that the net does not have.
    """

    prefix: str
    spelling: str
    names: dict[str, str]
    missing: tuple[str, ...]
    misfits: dict[str, str]
    surplus: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor of the net matches."""
        return not self.missing and not self.misfits

    @property
    def fitting(self) -> int:
        """Number of required tensors that match."""
        return len(required(self.names))


def required(names: Iterable[str]) -> list[str]:
    """The names of tensors that a file must have: all except counts of batches."""
    return [name for name in names if not name.endswith(_OPTIONAL)]


def is_head(name: str) -> bool:
    """Whether a name, without its prefix, is that of a head, projector or queue."""
    return _HEADS.fullmatch(name.partition(".")[0]) is not None


def find_matches(tensors: Tensors, wanted: Tensors) -> list[Match]:
    """Every prefix under which all tensors of a net match, in the order of the file.

    Without such a prefix, only the best one: by tensors that match, then by names that match.
    """
    needed = set(required(wanted))
    best, rank = _match_prefix("", "", {}, tensors, wanted), (-1, -1)
    for spelling, candidates, under in _spellings(tensors, wanted):
        complete = []
        for prefix, own in candidates.items():
            fits = {k for k, name in own.items() if _same_kind(tensors[name], wanted[k])}
            if len(fits) == len(own) and needed <= fits:
                complete.append(_match_prefix(prefix, spelling, under(prefix), tensors, wanted))
            elif not complete and (len(fits & needed), len(own) - len(fits)) > rank:
                rank = (len(fits & needed), len(own) - len(fits))
                best = _match_prefix(prefix, spelling, under(prefix), tensors, wanted)
        if complete:
            at = {name: k for k, name in enumerate(tensors)}
            return sorted(complete, key=lambda m: min(at[name] for name in m.names.values()))
    return [best]


def pick_match(complete: list[Match], key: str | None) -> Match | None:
    """Pick one of several matches, as publications do; None: nothing is complete under `key`.

    `key` is a prefix or whole parts of one: module.encoder_k of state_dict.module.encoder_k.
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


def _match_prefix(
    prefix: str, spelling: str, own: dict[str, str], tensors: Tensors, wanted: Tensors
) -> Match:
    """`own`: the net's name, or one that it lacks, -> the file's, of all names under a prefix."""
    fits = {
        k: own[k] for k, value in wanted.items() if k in own and _same_kind(tensors[own[k]], value)
    }
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


def _same_kind(tensor: torch.Tensor, wanted: torch.Tensor) -> bool:
    return tensor.shape == wanted.shape and tensor.is_floating_point() == wanted.is_floating_point()


def _spellings(tensors: Tensors, wanted: Tensors) -> Iterator[tuple[str, _Candidates, _Under]]:
    """(spelling, prefix -> names that the net has, function giving all names under a prefix).

    A file may contain thousands of prefixes, and all names are needed for few of them: hence the
    function.
    """
    ranked = sorted(tensors)
    at = {name: k for k, name in enumerate(tensors)}
    for word in ("downsample", "shortcut"):
        spelled = {k.replace("downsample.", f"{word}."): k for k in wanted}
        if word == "shortcut" and spelled.keys() == wanted.keys():
            return
        how = "" if word == "downsample" else "shortcut for downsample"

        def under(prefix: str, spelled: dict[str, str] = spelled, word: str = word) -> _Names:
            names = sorted(_with_prefix(ranked, prefix), key=at.__getitem__)
            return {_net_name(name[len(prefix) :], spelled, word): name for name in names}

        yield how, _by_prefix(tensors, {**{k: k for k in wanted}, **spelled}), under
        numbers = "children by number"
        full = _by_number(tensors, spelled, word)
        known = {p: {k: v for k, v in own.items() if k in wanted} for p, own in full.items()}
        yield f"{how}, {numbers}" if how else numbers, known, full.__getitem__


def _net_name(name: str, spelled: Mapping[str, str], word: str) -> str:
    """The net's spelling of a name, whether or not the net has it."""
    return spelled.get(name, name.replace(f"{word}.", "downsample."))


def _by_prefix(tensors: Tensors, spelled: Mapping[str, str]) -> _Candidates:
    """Prefixes before names of the net. A single tensor may suggest a prefix such as layer1.0.;
    the number of matches decides."""
    lengths = sorted({len(k) for k in spelled})
    candidates: _Candidates = {}
    for name in tensors:
        for n in lengths:
            own = spelled.get(name[-n:])
            if own is not None and n <= len(name):
                candidates.setdefault(name[:-n], {})[own] = name
    return candidates


def _with_prefix(ranked: list[str], prefix: str) -> Iterator[str]:
    """The sorted names that begin with a prefix."""
    for k in range(bisect_left(ranked, prefix), len(ranked)):
        if not ranked[k].startswith(prefix):
            return
        yield ranked[k]


def _by_number(tensors: Tensors, spelled: Mapping[str, str], word: str) -> _Candidates:
    """Prefixes followed by numbers, which in rising order are the net's children."""
    children = list(dict.fromkeys(k.partition(".")[0] for k in spelled if "." in k))
    under: dict[str, dict[int, list[str]]] = {}
    for name in tensors:
        for mark in _NUMBERED.finditer(name):
            under.setdefault(name[: mark.start()], {}).setdefault(int(mark[1]), []).append(name)
    candidates: _Candidates = {}
    for prefix, numbers in under.items():
        own = candidates.setdefault(prefix, {})
        # more numbers than children: a head follows
        for child, number in zip(children, sorted(numbers), strict=False):
            for name in numbers[number]:
                rest = name[len(f"{prefix}{number}.") :]
                own[_net_name(f"{child}.{rest}", spelled, word)] = name
    return candidates
