"""The space of a study: fields of a pretraining, each with its values or its range."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jessl.config import INCIDENTAL, Pretrain, matches_annotation
from jessl.core.validation import unknown_name

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SAMPLERS = ("each", "grid", "random", "tpe")
# dictionaries of a configuration whose entries are fields of their own
OPTIONS = ("objective_options", "view_options")
# what runs of one study share
_FIXED = {
    "data": "runs on other images cannot be compared",
    "labels": "runs on other images cannot be compared",
    "x_key": "runs on other images cannot be compared",
    "y_key": "runs on other images cannot be compared",
    "bits": "runs on other images cannot be compared",
    "value_range": "runs on other images cannot be compared",
    "out": "every run has a folder of its own in that of the study",
    "resume": "the study resumes its runs",
    "seed": "seeds are given beside the space (seeds)",
}
_RANGE = ("low", "high", "log", "step")
_LONGEST = 80
# text that a folder's name can have beside numbers, true, false and a default without a mistake
_PLAIN = re.compile(r"(?!(?:default|True|False)$)[A-Za-z_][A-Za-z0-9_.+]*")

Value = bool | int | float | str | None
Params = dict[str, Value]


@dataclass(frozen=True)
class Listed:
    """A field that takes one of some values, in the order given."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """A field that takes numbers from low to high, both included."""

    low: float
    high: float
    log: bool
    step: float | None
    whole: bool


Space = dict[str, Listed | Range]


def read_space(space: object, base: Pretrain) -> Space:
    """The space of a user, checked against the fields of a pretraining.

    Raises:
        ValueError: for an empty space, an unknown field (with the nearest names), a field that a
            study does not vary, a list without values or with one twice, a value that the field
            does not take, and a malformed range.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(
            "space: expected at least one field with its values, such as "
            '"lr": [0.001, 0.003, 0.01]; it is empty'
        )
    return {name: _read(name, entry, base) for name, entry in _flat(space)}


def _flat(space: Mapping[object, object]) -> Iterator[tuple[str, object]]:
    """Fields with their entries; a table [space.objective_options] means dotted names."""
    for name, entry in space.items():
        if name in OPTIONS and isinstance(entry, Mapping) and entry:
            yield from ((f"{name}.{option}", own) for option, own in entry.items())
        else:
            yield str(name), entry


def _read(name: str, entry: object, base: Pretrain) -> Listed | Range:
    annotation = _annotation(name, base)
    if isinstance(entry, Mapping):
        return _range(name, entry, annotation)
    if isinstance(entry, str) or not isinstance(entry, Sequence):
        raise ValueError(
            f"space: {name}: expected a list of values or a range {{low, high}}, got {entry!r}"
        )
    values = tuple(entry)
    if not values:
        raise ValueError(f"space: {name}: expected a list of values, got an empty one")
    for k, value in enumerate(values):
        if isinstance(value, int | float) and not _finite(value):
            raise ValueError(f"space: {name}: expected finite values, got {value}")
        if not isinstance(value, bool | int | float | str | None) or not matches_annotation(
            value, annotation
        ):
            raise ValueError(f"space: {name}: expected {annotation}, got {value!r}")
        if value in values[:k]:
            raise ValueError(f"space: {name}: {value!r} is listed twice")
    return Listed(values)


def _range(name: str, entry: Mapping[str, Any], annotation: str) -> Range:
    for key in entry:
        if key not in _RANGE:
            raise ValueError(unknown_name(f"entry of the range of {name}", str(key), _RANGE))
    low, high, step = (entry.get(key) for key in ("low", "high", "step"))
    limits = {"low": low, "high": high, **({} if step is None else {"step": step})}
    for key, value in limits.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not _finite(value) or not matches_annotation(value, annotation):
            raise ValueError(f"space: {name}: expected a number as {key}, got {value!r}")
    assert low is not None
    assert high is not None
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"space: {name}: expected log to be true or false, got {log!r}")
    if not low < high:
        raise ValueError(f"space: {name}: expected low below high, got {low} and {high}")
    if log and low <= 0:
        raise ValueError(f"space: {name}: expected low above 0 on a log scale, got {low}")
    if step is not None and (log or step <= 0):
        raise ValueError(f"space: {name}: expected step above 0 and no log, got {step}")
    kinds = {kind.strip() for kind in annotation.split("|")}
    # of options, which take both, whole limits mean whole numbers
    whole = "float" not in kinds or (
        "int" in kinds and all(isinstance(limit, int) for limit in limits.values())
    )
    if step is not None and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        raise ValueError(f"space: {name}: steps of {step} from {low} do not end at {high}")
    return Range(low, high, log, step, whole)


def _finite(value: float) -> bool:
    """Whether a number is finite, also as the float in the storage."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def _annotation(name: str, base: Pretrain) -> str:
    """The type of a field as text.

    Raises:
        ValueError: for a field that does not exist or that a study does not vary.
    """
    if name in _FIXED:
        raise ValueError(f"space: {name} cannot be varied: {_FIXED[name]}")
    if name in INCIDENTAL:
        raise ValueError(
            f"space: {name} cannot be varied: it does not change what a run is, and runs that "
            "differ in it alone are one setting"
        )
    known = {f.name: str(f.type) for f in dataclasses.fields(Pretrain)}
    if name in known and name not in OPTIONS:
        return known[name]
    owner, dot, option = name.partition(".")
    if dot and option and owner in OPTIONS:
        return "int | float | str"
    of_method = _options(base.objective)
    if name in of_method:
        near = f"objective_options.{name}"
        raise ValueError(f"unknown field of the space {name!r}; did you mean {near!r}?")
    names = [n for n in known if n not in INCIDENTAL and n not in OPTIONS]
    names += [f"objective_options.{option}" for option in of_method]
    raise ValueError(unknown_name("field of the space", name, names))


def configured(base: Pretrain, params: Params, seed: int, out: str) -> Pretrain:
    """The pretraining of a setting and a seed; an option of None is left to its method."""
    plain: dict[str, Any] = {owner: {**getattr(base, owner)} for owner in OPTIONS}
    for name, value in params.items():
        owner, dot, option = name.partition(".")
        if not dot:
            plain[name] = value
        elif value is None:
            plain[owner].pop(option, None)
        else:
            plain[owner][option] = value
    # trials of one study compute alike, whichever worker and moment they meet
    return dataclasses.replace(base, **plain, seed=seed, out=out, resume=True, tune=False)


def size(space: Space) -> int | None:
    """How many settings there are; None for infinitely many."""
    counts = [len(_values(entry) or ()) for entry in space.values()]
    return math.prod(counts) if all(counts) else None


def combinations(space: Space) -> Iterator[Params]:
    """All settings of a finite space, one after the other."""
    values = [_values(entry) or () for entry in space.values()]
    return (dict(zip(space, row, strict=True)) for row in itertools.product(*values))


def _values(entry: Listed | Range) -> Sequence[Value] | None:
    """The values of a field; None where they are infinitely many numbers."""
    if isinstance(entry, Listed):
        return entry.values
    if entry.whole:
        return range(int(entry.low), int(entry.high) + 1, int(entry.step or 1))
    if entry.step is None:
        return None
    steps = round((entry.high - entry.low) / entry.step)
    return [entry.low + k * entry.step for k in range(steps + 1)]


def grid(space: Space) -> list[Params]:
    """All combinations of the listed values, the last field fastest.

    Where methods vary, an option that only some of them have varies with these alone; for the
    others it is None.

    Raises:
        ValueError: for a range.
    """
    listed = _listed(space, "grid")
    rows = (dict(zip(listed, row, strict=True)) for row in itertools.product(*listed.values()))
    methods = [str(method) for method in listed.get("objective", ())]
    foreign = {m: _options_of_others(listed, m, methods) for m in methods}
    settings = (p | dict.fromkeys(foreign.get(str(p.get("objective")), ())) for p in rows)
    return list({key(params): params for params in settings}.values())


def _options_of_others(names: Iterable[str], method: str, methods: Sequence[str]) -> list[str]:
    """The options that some of the methods have and this one has not."""
    return [
        name
        for name in names
        if not has_option(method, name) and any(has_option(other, name) for other in methods)
    ]


def has_option(method: str, name: str) -> bool:
    """Whether a method has an option; every method has the fields that are no options of one."""
    owner, _, option = name.partition(".")
    if owner != "objective_options":
        return True
    return option in _options(method)


def _options(method: str) -> dict[str, Any]:
    """The options of a method with their defaults; none of an unknown one."""
    # imports torch, which reading a plan does not need
    from jessl.objectives import OBJECTIVES

    config = OBJECTIVES.find_if_known(method, imports=True)
    return {} if config is None else {f.name: f.default for f in dataclasses.fields(config)}


def each(space: Space, base: Pretrain) -> list[Params]:
    """One field at a time over its values, the others as in the base; the base comes first.

    Raises:
        ValueError: for a range.
    """
    listed = _listed(space, "each")
    centre: Params = {name: value_in(base, name) for name in listed}
    others = (
        {**centre, name: value}
        for name, values in listed.items()
        for value in values
        if value != centre[name]
    )
    return [centre, *others]


def value_in(base: Pretrain, name: str) -> Value:
    """The value of a field in the base; of an option that it leaves out, the method's default."""
    owner, dot, option = name.partition(".")
    if not dot:
        value: Value = getattr(base, name)
        return value
    if option in getattr(base, owner) or owner != "objective_options":
        return getattr(base, owner).get(option)
    return _options(base.objective).get(option)


def distributions(space: Space, settings: Sequence[Params]) -> dict[str, BaseDistribution]:
    """The space as Optuna has it; of lists, all values that a setting of the study takes."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    of_optuna: dict[str, BaseDistribution] = {}
    for name, entry in space.items():
        if isinstance(entry, Listed):
            values = [*entry.values, *(s[name] for s in settings)]
            of_optuna[name] = CategoricalDistribution(tuple(dict.fromkeys(values)))
        elif entry.whole:
            of_optuna[name] = IntDistribution(
                int(entry.low), int(entry.high), log=entry.log, step=int(entry.step or 1)
            )
        else:
            low, high = entry.low, entry.high
            of_optuna[name] = FloatDistribution(low, high, log=entry.log, step=entry.step)
    return of_optuna


def _listed(space: Space, sampler: str) -> dict[str, tuple[Value, ...]]:
    listed = {}
    for name, entry in space.items():
        if isinstance(entry, Range):
            raise ValueError(
                f"sampler {sampler} needs lists of values; {name} is a range: list its values, or "
                "use random or tpe"
            )
        listed[name] = entry.values
    return listed


def named(params: Params, seed: int) -> str:
    """The name of a run's folder: cov4-lr0.001-s0; with a hash where that is not exact."""
    parts, exact = [], True
    method = params.get("objective")
    own = {n: v for n, v in params.items() if v is not None or has_option(str(method), n)}
    if isinstance(method, str) and len(own) < len(params):  # each method with options of its own
        params = own
        parts.append(str(params.pop("objective")))
    for name in sorted(params):  # the storage may give them in another order
        value = params[name]
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        if isinstance(value, float):
            exact = exact and float(shown) == value
        elif isinstance(value, str):  # "1" beside 1, "a-b1" beside "a" and the next field's 1
            exact = exact and _PLAIN.fullmatch(value) is not None
        parts.append(name.rpartition(".")[2] + ("default" if value is None else shown))
    text = "-".join(parts)
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.+") else "_" for c in text)
    if not exact or plain != text or len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}-{key(params)[:6]}"
    return f"{plain}-s{seed}"


def key(params: Params) -> str:
    """A setting's hash: the same in whatever order its fields are, and of 1 as of 1.0."""
    plain = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in params.items()
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
