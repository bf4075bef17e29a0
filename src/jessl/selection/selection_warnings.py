"""Warnings of a selection: reasons to doubt the order of the runs of a group."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jessl.core.rank_correlation import pooled, spearman
from jessl.schema import few_rows
from jessl.scores.base import SpectralScore
from jessl.scores.registry import parse_score
from jessl.selection.candidates import RunSummary
from jessl.selection.criteria import LOSS, Criterion
from jessl.selection.grouping import ComparableRuns, Setting, is_number
from jessl.selection.ties_and_plateaus import SettingComparison

# a score above this share of its cap no longer distinguishes runs
_AT_CAP = 0.98
_MOST_NAMED = 4
# of two values each one is at an edge
_FEWEST_FOR_AN_EDGE = 3
# a rank that follows an option of the loss as closely as this
_DRIVEN = 0.9


def run_warnings(group: ComparableRuns) -> list[str]:
    """Warnings that do not depend on the score: repeated seeds, diverged runs, epochs."""
    warnings = []
    older = [e for s in group.settings for e in s.older]
    if older:
        warnings.append(
            f"the same setting and seed occur more than once; the newest counts, not "
            f"{_list([e.path for e in older])}"
        )
    for setting in group.settings:
        diverged = [e for e in setting.runs if e.diverged is not None]
        if diverged and setting.sound:
            warnings.append(
                f"{len(diverged)} of the {len(setting.runs)} seeds of "
                f"{setting.name or 'the setting'} diverged: {_list([e.path for e in diverged])}"
            )
        elif diverged:
            warnings += [f"{e.path} can never be chosen: {e.diverged}" for e in diverged]
    lengths = {e.fields.get("epochs") for e in _sound(group)}
    epochs = sorted(length for length in lengths if is_number(length) and length)
    if len(epochs) > 1:
        warnings.append(
            f"the runs were trained for {epochs[0]:g} to {epochs[-1]:g} epochs: scores change "
            "during training by themselves, and mean little in its first epochs"
        )
    return warnings


def setting_warnings(
    group: ComparableRuns, criterion: Criterion, comparison: SettingComparison
) -> list[str]:
    """Reasons to doubt the order of a group by one score."""
    warnings = []
    entries = _sound(group)
    values = [e.measured[criterion.text] for e in entries]
    for what in ("n", "d"):
        sizes = sorted({size for m in values if (size := getattr(m, what)) is not None})
        if len(sizes) > 1:
            warnings.append(
                f"the runs differ in {what} ({sizes[0]} to {sizes[-1]}), which changes a score by "
                "itself"
            )
    of_rows = not criterion.is_of_views
    if of_rows and any(m.n is not None and m.d is not None and few_rows(m.n, m.d) for m in values):
        warnings.append("fewer rows than 4 d: the rank of so few rows is too low by more than 3 %")
    capped = [e.run for e in entries if _at_cap(e, criterion)]
    if capped:
        warnings.append(
            "at the largest value that n and d allow, where it does not distinguish runs: "
            f"{_list(capped)}"
        )
    # warnings that all runs share: a loss that drives the rank, training with labels, a shared mean
    if values:
        warnings += sorted(set.intersection(*(set(m.warnings) for m in values)))
    warnings += _edge_warnings(group.settings, comparison)
    if criterion.is_rank:
        warnings += _rank_warnings(group.settings, criterion, comparison)
    return warnings + _noise_warnings(group.settings, criterion, comparison)


def _edge_warnings(settings: Sequence[Setting], comparison: SettingComparison) -> list[str]:
    """The choice is the smallest or largest value that was tried: the best may lie beyond."""
    if comparison.chosen is None:
        return []
    warnings = []
    for name, chosen in settings[comparison.chosen].fields.items():
        values = sorted({v for s in settings if is_number(v := s.fields.get(name))})
        if len(values) < _FEWEST_FOR_AN_EDGE or not is_number(chosen):
            continue
        for edge, word in ((values[0], "smallest"), (values[-1], "largest")):
            if chosen == edge:
                warnings.append(
                    f"the choice has the {word} {name} of the {len(values)} tried ({edge:g}): the "
                    "best may lie beyond"
                )
    return warnings


def _rank_warnings(
    settings: Sequence[Setting], criterion: Criterion, comparison: SettingComparison
) -> list[str]:
    """What misleads a choice by rank: an encoder that has hardly trained, a weight of the loss."""
    warnings = []
    if comparison.chosen is not None:
        runs = settings[comparison.chosen].sound
        starts = [run.start for run in runs if run.start is not None]
        if starts and all(start.hardly_trained for start in starts):
            start = starts[0]
            warnings.append(
                f"the chosen encoder has hardly left its initialization: view retrieval "
                f"{start.trained:.3g} ± {start.sd:.2g}, before training {start.untrained:.3g}; its "
                "rank is that of a random net"
            )
    for name in settings[0].fields:
        if not name.startswith("objective_options."):
            continue
        pairs = [
            (float(value), utility)
            for setting, utility in zip(settings, comparison.utilities, strict=True)
            if is_number(value := setting.fields.get(name)) and math.isfinite(utility)
        ]
        if len({value for value, _ in pairs}) < _FEWEST_FOR_AN_EDGE:
            continue
        rho = spearman(*zip(*pairs, strict=True)).value
        if rho is not None and abs(rho) >= _DRIVEN:
            word = "grows" if rho > 0 else "falls"
            warnings.append(
                f"{criterion.text} {word} with {name} (Spearman {rho:+.2f} over {len(pairs)} "
                "settings): an option of the loss drives the rank by itself, and a larger one "
                "need not be better"
            )
    return warnings


def _noise_warnings(
    settings: Sequence[Setting], criterion: Criterion, comparison: SettingComparison
) -> list[str]:
    """Warnings about noise and ties, on the scale on which ties are decided."""
    warnings: list[str] = []
    finite = [u for u in comparison.utilities if math.isfinite(u)]
    if len(finite) < 2:
        return warnings
    if comparison.noise == "images":
        warnings.append(
            "one seed a setting: the error bars are over images alone; the spread between "
            "trainings is not covered, and usually larger"
        )
    elif comparison.noise == "none":
        warnings.append("neither seeds nor error bars: the certainty of the order is unknown")
    else:
        rows = [s.values(criterion) for s in settings]
        within, _ = pooled([[math.log(v) if comparison.log else v for v in row] for row in rows])
        between, _ = pooled([finite])
        if within is not None and between is not None and within >= between:
            warnings.append(
                f"seeds of one setting disagree as much as settings do (sd {math.sqrt(within):.3g} "
                f"and {math.sqrt(between):.3g}{' of the logarithms' if comparison.log else ''})"
            )
    also_tied = [
        s.name or "the setting"
        for k, s in enumerate(settings)
        if comparison.tied[k] and k != comparison.best
    ]
    if also_tied and comparison.best is not None:
        warnings.append(
            f"cannot be distinguished from the best, {settings[comparison.best].name}: "
            f"{_list(also_tied)}"
        )
    return warnings


def _at_cap(entry: RunSummary, criterion: Criterion) -> bool:
    m = entry.measured[criterion.text]
    if criterion.score == LOSS or m.n is None or m.d is None:
        return False
    wanted = parse_score(criterion.score)
    if not isinstance(wanted.score, SpectralScore) or wanted.score.cap is None:
        return False
    return m.value >= _AT_CAP * wanted.score.cap(min(m.n, m.d), m.d, wanted.options)


def _sound(group: ComparableRuns) -> list[RunSummary]:
    return [e for s in group.settings for e in s.sound]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
