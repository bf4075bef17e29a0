"""What a study is made of: a configuration checked, and the settings that follow from it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessl.config import Pretrain, Sweep, matches_annotation
from jessl.core.validation import check_choice, check_int, unknown_name
from jessl.extraction.extract import LAYERS
from jessl.pretraining.evaluate import SCORES
from jessl.selection.criteria import Criterion, parse_criterion
from jessl.sweeps import space as spaces
from jessl.sweeps.space import Params, Space

_DRAWN = 20
# what a training judges on its way
_JUDGED = tuple(f"{score}/{layer}" for score in SCORES for layer in LAYERS)
_TABLES = ("base", "space", "study")


@dataclass(frozen=True)
class SweepPlan:
    """A study that can begin.

    Attributes:
        asked: as given; base: its pretraining with everything decided that runs are compared by.
        space, sampler, criterion: read.
        settings: all of them; of "tpe" none, they come as the study goes on.
        trials: how many settings there are to be.
    """

    asked: Sweep
    space: Space
    sampler: str
    criterion: Criterion
    settings: tuple[Params, ...]
    trials: int

    @property
    def distributions(self) -> dict[str, Any]:
        """The space as Optuna has it."""
        return spaces.distributions(self.space, self.settings)


def plan(asked: Sweep) -> SweepPlan:
    """Check a study and list its settings.

    Raises:
        ValueError: for whatever cannot be, naming it; see `read_space`.
    """
    space = spaces.read_space(asked.space, asked.base)
    listed = all(isinstance(entry, spaces.Listed) for entry in space.values())
    sampler = check_choice(
        "sampler", asked.sampler or ("grid" if listed else "random"), spaces.SAMPLERS
    )
    if asked.trials is not None and asked.trials < 1:
        raise ValueError(f"trials must be at least 1, got {asked.trials}")
    for seed in asked.seeds:
        check_int("seeds", seed, 0)
    if not asked.seeds or len(set(asked.seeds)) < len(asked.seeds):
        raise ValueError(f"seeds: different numbers from 0 on wanted, got {list(asked.seeds)}")
    if not 0 < asked.keep_share < 1:
        raise ValueError(f"keep_share must be in (0, 1), got {asked.keep_share:g}")
    if asked.grace_epochs is not None and asked.grace_epochs < 1:
        raise ValueError(f"grace_epochs must be at least 1, got {asked.grace_epochs}")
    if asked.decompose and asked.test is None:
        raise ValueError("decompose needs labelled images to test on: give test as well")
    chosen_by = parse_criterion(asked.by)
    for text in asked.scores:
        parse_criterion(text, "scores")
    settings = _settings(asked, space, sampler)
    trials = len(settings)
    if sampler == "tpe":
        trials = asked.trials or _DRAWN
        trials = min(trials, spaces.size(space) or trials)
    if asked.prune and chosen_by.text not in _JUDGED:
        raise ValueError(
            f"prune: runs are compared while they train, and {chosen_by.text} is taken at their "
            f"end; take by one of {', '.join(_JUDGED)}, or leave prune out"
        )
    return SweepPlan(asked, space, sampler, chosen_by, tuple(settings), trials)


def _settings(asked: Sweep, space: Space, sampler: str) -> list[Params]:
    if sampler == "tpe":
        return []
    if sampler == "random":
        return _drawn(space, asked.trials or _DRAWN, asked.sampler_seed)
    found = spaces.grid(space) if sampler == "grid" else spaces.each(space, asked.base)
    return found[: asked.trials]


def _drawn(space: Space, count: int, seed: int) -> list[Params]:
    """The first `count` settings of a random search: more of them begin with the same ones."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    distributions = spaces.distributions(space, [])
    found: dict[str, Params] = {}
    for _ in range(100 * count):  # of lists, the same setting can come again
        params = dict(study.ask(distributions).params)
        found.setdefault(spaces.key(params), params)
        if len(found) == count:
            break
    return list(found.values())


def in_order(units: list[Any], asked: Sweep) -> list[Any]:
    """Units in the order of work: shuffled where runs are stopped.

    In the order of a hyperparameter each run could be better than all before it, and none would be
    stopped.
    """
    if not asked.prune:
        return units
    return sorted(
        units,
        key=lambda u: hashlib.sha256(f"{asked.sampler_seed}/{u.name}".encode()).hexdigest(),
    )


def read_toml(path: Path, data: str | None) -> Sweep:
    """A study from a file with the tables [base] (fields of `Pretrain`), [space] and [study].

    Args:
        data: SRC over that of the file.

    Raises:
        ValueError: for a file that is no TOML, and an unknown table or field with the nearest ones.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    for name in found:
        if name not in _TABLES:
            raise ValueError(unknown_name(f"table of {path}", name, _TABLES))
    for name in _TABLES:
        if not isinstance(found.get(name, {}), dict):
            raise ValueError(f"{path}: {name} must be a table, written [{name}]")
    base = dict(found.get("base", {}))
    if data is not None:
        base["data"] = data
    if "data" not in base:
        raise ValueError(f"{path}: [base] lacks data; give it there, or --data SRC")
    return sweep_from(
        found.get("study", {}),
        Pretrain.from_json(base, f"[base] in {path}"),
        found.get("space", {}),
    )


def sweep_from(fields: dict[str, Any], base: Pretrain, space: Any) -> Sweep:
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
                raise ValueError(f"scores: a list of names wanted, {value!r} came")
            value = tuple(value)
        elif not matches_annotation(value, allowed[name]) or (
            isinstance(value, float) and math.isnan(value)
        ):
            raise ValueError(f"field {name} of the study must be {allowed[name]}, got {value!r}")
        values[name] = value
    return Sweep(base=base, space=space, **values)


def _seeds(value: Any) -> tuple[int, ...]:
    """Seeds as a number of them, or a list."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return tuple(range(value))
    whole = isinstance(value, list | tuple) and all(
        isinstance(v, int) and not isinstance(v, bool) for v in value
    )
    if not whole:
        raise ValueError(f"seeds: how many (at least 1), or a list of them wanted, {value!r} came")
    return tuple(value)
