"""Groups of runs that can be compared, and the settings in them: runs that differ only in seed."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jessl.core.validation import check_choice
from jessl.selection.candidates import RunSummary
from jessl.selection.criteria import Criterion

# method, d, images
_Key = tuple[str, int | None, str]
_FORCED = "all runs"


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but their seed.

    Attributes:
        name: the fields that tell it from the others: "lr=0.001, objective_options.cov=1".
        fields: the same as values.
        runs: those that count.
        older: runs of a seed that a newer run has, too: they do not count.
    """

    name: str
    fields: dict[str, Any]
    runs: tuple[RunSummary, ...]
    older: tuple[RunSummary, ...] = ()

    @property
    def sound(self) -> tuple[RunSummary, ...]:
        """The runs that did not diverge."""
        return tuple(entry for entry in self.runs if entry.diverged is None)

    def values(self, criterion: Criterion) -> list[float]:
        """The criterion of its sound runs, where it is a number."""
        found = [entry.measured[criterion.text].value for entry in self.sound]
        return [value for value in found if math.isfinite(value)]


@dataclass(frozen=True)
class Comparable:
    """A group: runs of one method, of one width of the layer, on the same images.

    Attributes:
        name: the method, with what else tells the group from others of the method.
        settings: in the order of the runs.
    """

    name: str
    settings: tuple[Setting, ...]

    @property
    def entries(self) -> list[RunSummary]:
        """All its runs."""
        return [e for s in self.settings for e in (*s.runs, *s.older)]


def grouped(
    found: Sequence[RunSummary], criterion: Criterion, *, force: bool
) -> tuple[list[Comparable], list[str]]:
    """(groups by name, warnings).

    Args:
        found: the runs.
        criterion: whose layer has the width that a group shares.
        force: one group of all, whatever they differ in.
    """
    parts: dict[_Key, list[RunSummary]] = defaultdict(list)
    for entry in found:
        parts[entry.method, entry.measured[criterion.text].d, entry.data].append(entry)
    # a diverged run has no width: it goes where the others of its method and images are
    for key in [k for k in parts if k[1] is None]:
        homes = [k for k in parts if k[0] == key[0] and k[2] == key[2] and k[1] is not None]
        if homes and all(entry.diverged is not None for entry in parts[key]):
            parts[max(homes, key=lambda k: len(parts[k]))] += parts.pop(key)
    if len(parts) > 1 and force:
        unlike = [
            f"{what} ({', '.join(str(v) for v in sorted(values, key=str))})"
            for k, what in enumerate(("method", "d", "images"))
            if len(values := {key[k] for key in parts}) > 1
        ]
        every = [
            dataclasses.replace(e, fields=_apart(key, [*parts]) | e.fields)
            for key, group in parts.items()
            for e in group
        ]
        told = f"put in one order by force: the runs differ in {', '.join(unlike)}, which moves a "
        return [Comparable(_FORCED, _settings(every))], [f"{told}score by itself"]
    groups = []
    for (method, d, data), members in parts.items():
        mine = [key for key in parts if key[0] == method]
        name = method
        if len({key[1] for key in mine}) > 1:
            name += f", d {d}"
        if len({key[2] for key in mine}) > 1:
            name += f", images {data[:8] or 'unknown'}"
        groups.append(Comparable(name, _settings(members)))
    return sorted(groups, key=lambda group: group.name), []


def _apart(key: _Key, keys: list[_Key]) -> dict[str, Any]:
    """What a group has for itself, as fields of its runs; words, which are no axis of a plateau."""
    named = zip(("method", "d", "images"), key, strict=True)
    return {
        name: str(value)
        for place, (name, value) in enumerate(named)
        if len({other[place] for other in keys}) > 1
    }


def _settings(members: list[RunSummary]) -> tuple[Setting, ...]:
    filled = [_filled(entry, members) for entry in members]
    names = {name: None for entry in filled for name in entry.fields}
    unlike = [n for n in names if len({_key(e.fields.get(n)) for e in filled}) > 1]
    # a field that nobody asked for follows from others: it tells settings apart only if they do not
    wanted = [n for n in unlike if any(n in e.fields and n not in e.derived for e in filled)]
    whole = {tuple(_key(e.fields.get(n)) for n in unlike) for e in filled}
    shown = wanted
    if len({tuple(_key(e.fields.get(n)) for n in wanted) for e in filled}) < len(whole):
        shown = unlike
    parts: dict[tuple[str, ...], list[RunSummary]] = defaultdict(list)
    for entry in filled:
        parts[tuple(_key(entry.fields.get(n)) for n in unlike)].append(entry)
    return tuple(_setting(shown, group) for group in parts.values())


def _setting(shown: list[str], group: list[RunSummary]) -> Setting:
    fields = {name: group[0].fields.get(name) for name in shown}
    newest: dict[Any, RunSummary] = {}
    older = []
    for place, entry in enumerate(group):
        # of rows without a seed nothing says that two are the same
        seed = ("none", place) if entry.seed is None else entry.seed
        if seed in newest:
            older.append(min(newest[seed], entry, key=lambda e: e.age))
        newest[seed] = max(newest.get(seed, entry), entry, key=lambda e: e.age)
    name = ", ".join(f"{key}={shown_value(value)}" for key, value in fields.items())
    return Setting(name, fields, tuple(newest.values()), tuple(older))


def _filled(entry: RunSummary, members: list[RunSummary]) -> RunSummary:
    """The entry with the defaults of options spelt out that others of its method were given."""
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
        # imports torch, which plain records do without
        from jessl.objectives import CONFIGS

        known = {
            f.name: f.default
            for f in dataclasses.fields(CONFIGS[check_choice("objective", entry.method, CONFIGS)])
        }
        fields |= {name: known.get(name.removeprefix(prefix)) for name in sorted(missing)}
    return dataclasses.replace(entry, fields=fields)


def is_number(value: Any) -> bool:
    """Whether a hyperparameter's value can be put in order."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown_value(value: Any) -> str:
    """A hyperparameter's value as it is shown."""
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)


def _key(value: Any) -> str:
    return repr(float(value)) if is_number(value) else repr(value)
