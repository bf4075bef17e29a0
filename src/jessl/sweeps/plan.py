"""The plan of a study: a checked configuration, and the settings that follow from it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from jessl.config import Pretrain, Sweep, matches_annotation
from jessl.core.files import read_toml as read_toml_file
from jessl.core.validation import check_choice, check_int, unknown_name
from jessl.encoders.outside import portable_encoder
from jessl.extraction.extract import LAYERS
from jessl.objectives import OBJECTIVES
from jessl.pretraining.evaluate import SCORES
from jessl.schema import VIEW_RETRIEVAL
from jessl.selection.criteria import Criterion, parse_criterion
from jessl.selection.panel import deciding_criteria
from jessl.sweeps import space as spaces
from jessl.sweeps.space import Params, Space
from jessl.views.presets import check_preset

_DEFAULT_TRIALS = 20
# scores that a training takes on its way
_DURING_TRAINING = (
    VIEW_RETRIEVAL,
    *(f"{score}/{layer}" for score in SCORES for layer in LAYERS),
)
_TABLES = ("base", "space", "study")

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class _Named(Protocol):
    @property
    def name(self) -> object: ...


T = TypeVar("T", bound=_Named)


@dataclass(frozen=True)
class SweepPlan:
    """A study that can begin.

    Attributes:
        config: the study as the user gave it.
        space, sampler: its fields with their values or ranges, and how settings are drawn.
        criteria: the scores that choose, several for the panel; tpe, pruning and progress use the
            first.
        settings: all of them; none of "tpe", which draws them as the study goes on.
        trials: how many settings there are to be.
    """

    config: Sweep
    space: Space
    sampler: str
    criteria: tuple[Criterion, ...]
    settings: tuple[Params, ...]
    trials: int

    @property
    def criterion(self) -> Criterion:
        """The score that chooses, or the first of the panel."""
        return self.criteria[0]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as Optuna has it."""
        return spaces.distributions(self.space, self.settings)


def plan_sweep(config: Sweep) -> SweepPlan:
    """Check a study and list its settings.

    Raises:
        ValueError: for an impossible value, naming it; see `read_space`.
    """
    config = _portable(config)
    space = spaces.read_space(config.space, config.base)
    listed = all(isinstance(entry, spaces.Listed) for entry in space.values())
    sampler = check_choice(
        "sampler", config.sampler or ("grid" if listed else "random"), spaces.SAMPLERS
    )
    if config.trials is not None and config.trials < 1:
        raise ValueError(f"trials: expected at least 1, got {config.trials}")
    for seed in config.seeds:
        check_int("seeds", seed, 0)
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"seeds: expected different numbers from 0 on, got {list(config.seeds)}")
    if not 0 < config.keep_share < 1:
        raise ValueError(f"keep_share: expected a number in (0, 1), got {config.keep_share:g}")
    if config.grace_epochs is not None and config.grace_epochs < 1:
        raise ValueError(f"grace_epochs: expected at least 1, got {config.grace_epochs}")
    if config.class_names is not None and config.test is None:
        raise ValueError("class_names: expected test as well, whose labels are to be matched")
    if config.decompose and config.test is None:
        raise ValueError("decompose needs labelled images to test on: give test as well")
    if config.score_views is not None:
        check_preset(config.score_views, "score_views")
    criteria = deciding_criteria(config.by)
    for text in config.scores:
        parse_criterion(text, "scores")
    settings = _settings(config, space, sampler)
    trials = len(settings)
    if sampler == "tpe":
        trials = config.trials or _DEFAULT_TRIALS
        trials = min(trials, spaces.size(space) or trials)
    if config.prune and criteria[0].text not in _DURING_TRAINING:
        raise ValueError(
            f"prune: runs are compared while they train, and {criteria[0].text} is taken at their "
            f"end; choose by one of {', '.join(_DURING_TRAINING)}, or leave prune out"
        )
    return SweepPlan(config, space, sampler, tuple(criteria), tuple(settings), trials)


def _portable(config: Sweep) -> Sweep:
    """A study whose objectives and encoders have names that every worker finds."""
    space, base = config.space, config.base
    for field, portable in _PORTABLE.items():
        if isinstance(space, Mapping) and isinstance(names := space.get(field), list | tuple):
            space = {**space, field: [portable(n) if isinstance(n, str) else n for n in names]}
    named: dict[str, Any] = {
        field: portable(name)
        for field, portable in _PORTABLE.items()
        if (name := getattr(base, field)) is not None
    }
    return dataclasses.replace(config, base=dataclasses.replace(base, **named), space=space)


def _portable_objective(name: str) -> str:
    known = OBJECTIVES.find_if_known(name, imports=True) is not None
    return OBJECTIVES.portable_name(name) if known else name  # others are refused later


# fields of a training that may name code from outside jessl
_PORTABLE: dict[str, Callable[[str], str]] = {
    "objective": _portable_objective,
    "encoder": portable_encoder,
    "teacher": portable_encoder,
}


def _settings(config: Sweep, space: Space, sampler: str) -> list[Params]:
    if sampler == "tpe":
        return []
    if sampler == "random":
        return _draw(space, config.trials or _DEFAULT_TRIALS, config.sampler_seed)
    every = spaces.grid(space) if sampler == "grid" else spaces.each(space, config.base)
    return every[: config.trials]


def _draw(space: Space, count: int, seed: int) -> list[Params]:
    """The first `count` settings of a random search: more of them begin with the same ones."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    distributions = spaces.distributions(space, [])
    settings: dict[str, Params] = {}
    for _ in range(100 * count):  # of lists, the same setting can come again
        params = dict(study.ask(distributions).params)
        settings.setdefault(spaces.key(params), params)
        if len(settings) == count:
            break
    return list(settings.values())


def in_order(units: Sequence[T], config: Sweep) -> list[T]:
    """Units in the order of work: shuffled where runs are stopped.

    In the order of a hyperparameter each run could be better than all before it, and none would be
    stopped.
    """
    if not config.prune:
        return list(units)
    return sorted(
        units,
        key=lambda u: hashlib.sha256(f"{config.sampler_seed}/{u.name}".encode()).hexdigest(),
    )


def read_toml(path: Path, data: str | None) -> Sweep:
    """A study from a file with the tables [base] (fields of `Pretrain`), [space] and [study].

    Args:
        data: SRC over that of the file.

    Raises:
        ValueError: for a file that is no TOML, and an unknown table or field with the nearest ones.
    """
    tables = read_toml_file(path)
    for name in tables:
        if name not in _TABLES:
            raise ValueError(unknown_name(f"table of {path}", name, _TABLES))
    for name in _TABLES:
        if not isinstance(tables.get(name, {}), dict):
            raise ValueError(f"{path}: expected {name} to be a table, written [{name}]")
    base = dict(tables.get("base", {}))
    if data is not None:
        base["data"] = data
    if "data" not in base:
        raise ValueError(f"{path}: [base] lacks data; give it there, or --data SRC")
    return sweep_from(
        tables.get("study", {}),
        Pretrain.from_json(base, f"[base] in {path}"),
        tables.get("space", {}),
    )


def sweep_from(fields: Mapping[str, object], base: Pretrain, space: Any) -> Sweep:
    """A study from plain values, such as JSON or TOML hold.

    Raises:
        ValueError: for an unknown field (with the nearest), and a value of another kind.
    """
    allowed = {
        f.name: str(f.type) for f in dataclasses.fields(Sweep) if f.name not in ("base", "space")
    }
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in allowed:
            raise ValueError(unknown_name("field of the study", name, allowed))
        if name == "seeds":
            value = _seeds(value)
        elif name == "scores":
            if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
                raise ValueError(f"scores: expected a list of names, got {value!r}")
            value = tuple(value)
        elif not matches_annotation(value, allowed[name]) or (
            isinstance(value, float) and math.isnan(value)
        ):
            raise ValueError(f"field {name} of the study: expected {allowed[name]}, got {value!r}")
        values[name] = value
    return Sweep(base=base, space=space, **values)


def _seeds(value: object) -> tuple[int, ...]:
    """Seeds as a number of them, or a list."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return tuple(range(value))
    if isinstance(value, list | tuple) and all(
        isinstance(v, int) and not isinstance(v, bool) for v in value
    ):
        return tuple(value)
    raise ValueError(f"seeds: expected their number (at least 1) or a list of them, got {value!r}")
