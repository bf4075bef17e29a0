"""Groups of runs that can be compared, and the settings in them: runs that differ only in seed."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from jessl.selection.candidates import RunSummary
from jessl.selection.criteria import Criterion

# method, d, images, recipe of the views
_GroupKey = tuple[str, int | None, str, str]
_WHAT = ("method", "d", "images", "views")
_FORCED = "all runs"


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but their seed.

    Attributes:
        name: the fields that distinguish it: "lr=0.001, objective_options.cov=1".
        fields: the same as values.
        runs: the runs that count.
        older: runs with the seed of a newer run; they do not count.
    """

    name: str
    fields: dict[str, object]
    runs: tuple[RunSummary, ...]
    older: tuple[RunSummary, ...] = ()

    @property
    def sound(self) -> tuple[RunSummary, ...]:
        """The runs that did not diverge."""
        return tuple(entry for entry in self.runs if entry.diverged is None)

    def values(self, criterion: Criterion) -> list[float]:
        """The finite values of a criterion over the runs that did not diverge."""
        values = [run.measured[criterion.text].value for run in self.sound]
        return [value for value in values if math.isfinite(value)]


@dataclass(frozen=True)
class ComparableRuns:
    """A group: runs of one method, with one width of the layer, on the same images and views.

    Attributes:
        name: the method, with width, images and views where the method has several groups.
        settings: in the order of the runs.
    """

    name: str
    settings: tuple[Setting, ...]

    @property
    def entries(self) -> list[RunSummary]:
        """All runs of the group."""
        return [e for s in self.settings for e in (*s.runs, *s.older)]


def group_runs(
    runs: Sequence[RunSummary], criterion: Criterion, *, force: bool
) -> tuple[list[ComparableRuns], list[str]]:
    """(groups sorted by name, warnings).

    Args:
        runs: the candidates.
        criterion: the runs of a group share the width d of its layer.
        force: one group of all runs, whatever they differ in.
    """
    parts: dict[_GroupKey, list[RunSummary]] = defaultdict(list)
    for run in runs:
        value = run.measured[criterion.text]
        parts[run.method, value.d, run.data, value.recipe].append(run)
    # a diverged run has no width: it joins the largest group of its method and images
    for key in [k for k in parts if k[1] is None]:
        others = [k for k in parts if (k[0], k[2]) == (key[0], key[2]) and k[1] is not None]
        if others and all(run.diverged is not None for run in parts[key]):
            parts[max(others, key=lambda k: len(parts[k]))] += parts.pop(key)
    if len(parts) > 1 and force:
        differences = [
            f"{what} ({', '.join(str(v) for v in sorted(values, key=str))})"
            for k, what in enumerate(_WHAT)
            if len(values := {key[k] for key in parts}) > 1
        ]
        every = [
            dataclasses.replace(run, fields=_group_fields(key, [*parts]) | run.fields)
            for key, group in parts.items()
            for run in group
        ]
        warning = (
            f"put in one order by force: the runs differ in {', '.join(differences)}, which "
            "changes a score by itself"
        )
        return [ComparableRuns(_FORCED, _settings(every))], [warning]
    groups = []
    for (method, d, data, recipe), members in parts.items():
        of_method = [key for key in parts if key[0] == method]
        name = method
        if len({key[1] for key in of_method}) > 1:
            name += f", d {d}"
        if len({key[2] for key in of_method}) > 1:
            name += f", images {data[:8] or 'unknown'}"
        if len({key[3] for key in of_method}) > 1:
            name += f", views {recipe[:8] or 'unknown'}"
        groups.append(ComparableRuns(name, _settings(members)))
    return sorted(groups, key=lambda group: group.name), []


def _group_fields(key: _GroupKey, keys: list[_GroupKey]) -> dict[str, object]:
    """What distinguishes a group, as fields of its runs; texts, which order no plateau."""
    named = zip(_WHAT, key, strict=True)
    return {
        name: str(value)
        for place, (name, value) in enumerate(named)
        if len({other[place] for other in keys}) > 1
    }


def _settings(members: list[RunSummary]) -> tuple[Setting, ...]:
    filled = [_filled(entry, members) for entry in members]
    names = {name: None for entry in filled for name in entry.fields}
    varying = [n for n in names if len({_key(e.fields.get(n)) for e in filled}) > 1]
    # derived fields follow from others: they are shown only where the others do not distinguish
    requested = [n for n in varying if any(n in e.fields and n not in e.derived for e in filled)]
    distinct = {tuple(_key(e.fields.get(n)) for n in varying) for e in filled}
    shown = requested
    if len({tuple(_key(e.fields.get(n)) for n in requested) for e in filled}) < len(distinct):
        shown = varying
    parts: dict[tuple[str, ...], list[RunSummary]] = defaultdict(list)
    for entry in filled:
        parts[tuple(_key(entry.fields.get(n)) for n in varying)].append(entry)
    return tuple(_setting(shown, group) for group in parts.values())


def _setting(shown: list[str], group: list[RunSummary]) -> Setting:
    fields = {name: group[0].fields.get(name) for name in shown}
    newest: dict[int | tuple[str, int], RunSummary] = {}
    older = []
    for place, entry in enumerate(group):
        # rows without a seed are never taken to be the same run
        seed = ("none", place) if entry.seed is None else entry.seed
        if seed in newest:
            older.append(min(newest[seed], entry, key=lambda e: e.age))
        newest[seed] = max(newest.get(seed, entry), entry, key=lambda e: e.age)
    name = ", ".join(f"{key}={format_value(value)}" for key, value in fields.items())
    return Setting(name, fields, tuple(newest.values()), tuple(older))


def _filled(entry: RunSummary, members: list[RunSummary]) -> RunSummary:
    """The run with the defaults of those options that other runs of its method set."""
    fields = dict(entry.fields)
    prefix = "objective_options."
    missing = {
        name
        for e in members
        if e.method == entry.method
        for name in e.fields
        if name.startswith(prefix) and name not in fields
    }
    if missing:
        # imports torch, which reading records does not need
        from jessl.objectives import OBJECTIVES

        config = OBJECTIVES.find_if_known(entry.method)
        known = {} if config is None else {f.name: f.default for f in dataclasses.fields(config)}
        fields |= {name: known.get(name.removeprefix(prefix)) for name in sorted(missing)}
    return dataclasses.replace(entry, fields=fields)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether the value of a hyperparameter is a number, and can be put in order."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def format_value(value: object) -> str:
    """The value of a hyperparameter as text."""
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)


def _key(value: object) -> str:
    return repr(float(value)) if is_number(value) else repr(value)
