"""Why the order of the runs of a group may mean less than it seems."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jessl.core.rank_correlation import pooled
from jessl.schema import few_rows
from jessl.scores.base import SpectralScore
from jessl.scores.registry import parse_score
from jessl.selection.candidates import RunSummary
from jessl.selection.criteria import LOSS, Criterion
from jessl.selection.grouping import Comparable, Setting
from jessl.selection.ties_and_plateaus import Compared

# a score within this share of its cap has nowhere to go
_AT_CAP = 0.98
_NAMED = 4


def warnings_of_runs(group: Comparable) -> list[str]:
    """What holds whatever the score: seeds that came twice, diverged runs, epochs."""
    told = []
    older = [e for s in group.settings for e in s.older]
    if older:
        told.append(
            f"the same setting and seed came more than once; the newest counts, not "
            f"{_list([e.path for e in older])}"
        )
    for setting in group.settings:
        lost = [e for e in setting.runs if e.diverged is not None]
        if lost and setting.sound:
            told.append(
                f"{len(lost)} of the {len(setting.runs)} seeds of {setting.name or 'the setting'} "
                f"diverged: {_list([e.path for e in lost])}"
            )
        elif lost:
            told += [f"{e.path} can never be chosen: {e.diverged}" for e in lost]
    epochs = sorted({e.fields["epochs"] for e in _sound(group) if e.fields.get("epochs")})
    if len(epochs) > 1:
        told.append(
            f"the runs were trained for {epochs[0]:g} to {epochs[-1]:g} epochs: scores move with "
            "training by themselves, and mean little in its first epochs"
        )
    return told


def warnings_of_settings(group: Comparable, criterion: Criterion, found: Compared) -> list[str]:
    """What makes the order of a group by one score doubtful."""
    told = []
    entries = _sound(group)
    values = [e.measured[criterion.text] for e in entries]
    for what in ("n", "d"):
        sizes = sorted({size for m in values if (size := getattr(m, what)) is not None})
        if len(sizes) > 1:
            told.append(
                f"the runs differ in {what} ({sizes[0]} to {sizes[-1]}), which moves a score by "
                "itself"
            )
    if any(m.n is not None and m.d is not None and few_rows(m.n, m.d) for m in values):
        told.append("fewer rows than 4 d: a rank of so few is too low by more than 3 %")
    capped = [e.run for e in entries if _at_cap(e, criterion)]
    if capped:
        told.append(f"at the largest value that n and d allow, where it says nothing: "
                    f"{_list(capped)}")  # fmt: skip
    # what holds of every run: a loss that drives the rank, training with labels, a shared mean
    if values:
        told += sorted(set.intersection(*(set(m.warnings) for m in values)))
    return told + _spread(group.settings, criterion, found)


def _spread(settings: Sequence[Setting], criterion: Criterion, found: Compared) -> list[str]:
    """Of noise and ties, on the scale on which ties are decided."""
    told: list[str] = []
    known = [m for m in found.merits if math.isfinite(m)]
    if len(known) < 2:
        return told
    if found.noise == "images":
        told.append(
            "one seed a setting: the error bars are over images alone; the spread between "
            "trainings is not covered, and usually larger"
        )
    elif found.noise == "none":
        told.append("neither seeds nor error bars: nothing tells how sure the order is")
    else:
        rows = [s.values(criterion) for s in settings]
        within, _ = pooled([[math.log(v) if found.log else v for v in row] for row in rows])
        between, _ = pooled([known])
        if within is not None and between is not None and within >= between:
            told.append(
                f"seeds of one setting disagree as much as settings do (sd {math.sqrt(within):.3g} "
                f"and {math.sqrt(between):.3g}{' of the logarithms' if found.log else ''})"
            )
    rivals = [
        s.name or "the setting" for k, s in enumerate(settings) if found.tied[k] and k != found.best
    ]
    if rivals and found.best is not None:
        told.append(f"cannot be told from the best, {settings[found.best].name}: {_list(rivals)}")
    return told


def _at_cap(entry: RunSummary, criterion: Criterion) -> bool:
    m = entry.measured[criterion.text]
    if criterion.score == LOSS or m.n is None or m.d is None:
        return False
    wanted = parse_score(criterion.score)
    if not isinstance(wanted.score, SpectralScore) or wanted.score.cap is None:
        return False
    return m.value >= _AT_CAP * wanted.score.cap(min(m.n, m.d), m.d, wanted.options)


def _sound(group: Comparable) -> list[RunSummary]:
    return [e for s in group.settings for e in s.sound]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
