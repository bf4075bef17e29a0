"""Comparisons of the arms of an experiment, from its finished units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.claims.claim import Claim, Contrast
from jessl.claims.decision import ClaimPart
from jessl.claims.experiments import (
    BASELINES,
    FINAL,
    PIXELS,
    UNTRAINED,
    ArmUnit,
    Experiment,
    Fields,
)
from jessl.claims.intervals import over_seeds_and_images
from jessl.claims.units import CORRECT, LINEAR, MLP, RESULT, chosen_setting, few_name, is_done
from jessl.core.files import read_json

# how much more of the images a perceptron classifies correctly
_MLP_GAIN = "MLP minus linear"


def wanted_arms(claim: Claim, experiment: Experiment, quick: bool) -> list[tuple[str, str]]:
    """(data set, arm) of all comparisons, each once."""
    pairs = [
        (data, arm)
        for one in claim.contrasts
        for data in data_sets(one, experiment, quick)
        for arm in (one.against, one.arm)
    ]
    return list(dict.fromkeys(pairs))


def data_sets(one: Contrast, experiment: Experiment, quick: bool) -> list[str]:
    """The data sets of a comparison."""
    names = one.data or tuple(experiment.data)
    return [name for name in names if not quick or name in experiment.quick_data]


def contrast_parts(
    claim: Claim, experiment: Experiment, work: Path, quick: bool
) -> tuple[list[ClaimPart], list[str], list[str]]:
    """(parts, notes on the arms, what is not there) from the units that are finished."""
    parts, missing = [], []
    names = _measures(experiment)
    for one in claim.contrasts:
        for data in data_sets(one, experiment, False):
            for measure in one.measures:
                name = names[measure]
                title = f"{one.arm} minus {one.against}, {data}, {name}"
                if data not in data_sets(one, experiment, quick) or not all(
                    arm_is_done(experiment, data, arm, work) for arm in (one.arm, one.against)
                ):
                    missing.append(title)
                    continue
                first, second = (
                    _correct(experiment, data, arm, name, work) for arm in (one.arm, one.against)
                )
                effect, low, high = (
                    100 * x for x in over_seeds_and_images(*_aligned(first, second, experiment))
                )
                n = f"{max(len(first), len(second))} seeds, {first.shape[1]:,} test images"
                part = ClaimPart(title, effect, low, high, one.smallest, one.rule, "points", n)
                parts.append(part)
    notes = [
        text
        for data, arm in wanted_arms(claim, experiment, quick)
        if arm_is_done(experiment, data, arm, work)
        for text in [_summary(experiment, data, arm, names, work)]
    ]
    return parts, notes, missing


def _measures(experiment: Experiment) -> dict[str, str]:
    """Measure of a contrast -> its name in results."""
    names = {"linear": LINEAR, "few": few_name(experiment)}
    return names if experiment.mlp is None else {**names, "mlp": MLP, "mlp gain": _MLP_GAIN}


def arm_is_done(experiment: Experiment, data: str, arm: str, work: Path) -> bool:
    """Whether an arm is tuned, trained and measured."""
    if not all(is_done(u, work) for u in experiment.tuning_units(data, arm)):
        return False
    setting = chosen_setting(experiment, data, arm, work)
    return all(is_done(u, work) for u in experiment.final_units(data, arm, setting))


def seconds_of(experiment: Experiment, pairs: Sequence[tuple[str, str]], work: Path) -> float:
    """Wall time of all units of these arms, one process each."""
    total = 0.0
    for data, arm in pairs:
        for unit in units_of(experiment, data, arm, work):
            total += float(read_json(work / unit.key / RESULT)["seconds"])
    return total


def units_of(experiment: Experiment, data: str, arm: str, work: Path) -> list[ArmUnit]:
    """The units of an arm that are finished."""
    units = experiment.tuning_units(data, arm)
    if all(is_done(u, work) for u in units):
        setting = chosen_setting(experiment, data, arm, work)
        units += experiment.final_units(data, arm, setting)
    return [u for u in units if is_done(u, work)]


def _final(experiment: Experiment, data: str, arm: str, work: Path) -> list[ArmUnit]:
    return [u for u in units_of(experiment, data, arm, work) if u.role == FINAL]


def _correct(
    experiment: Experiment, data: str, arm: str, name: str, work: Path
) -> NDArray[np.float64]:
    """[seeds, test images]."""
    rows = []
    for unit in _final(experiment, data, arm, work):
        with np.load(work / unit.key / CORRECT) as held:
            rows.append(held[MLP] - held[LINEAR] if name == _MLP_GAIN else held[name])
    return np.asarray(rows, np.float64)


def _aligned(
    first: NDArray[np.float64], second: NDArray[np.float64], experiment: Experiment
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both with a row a seed; pixels have no seed."""
    seeds = len(experiment.seeds)
    both = [x if len(x) == seeds else np.repeat(x[:1], seeds, axis=0) for x in (first, second)]
    return both[0], both[1]


def _summary(experiment: Experiment, data: str, arm: str, names: dict[str, str], work: Path) -> str:
    setting: Fields = chosen_setting(experiment, data, arm, work)
    text = ", ".join(f"{k.rpartition('.')[2]} {v:g}" for k, v in setting.items())
    texts = []
    for name in names.values():
        by_seed = _correct(experiment, data, arm, name, work).mean(1)
        spread = f" +- {100 * by_seed.std(ddof=1):.1f}" if len(by_seed) > 1 else ""
        texts.append(f"{name} {100 * by_seed.mean():.1f}{spread}")
    tuned = "" if arm in (*BASELINES, UNTRAINED, PIXELS) else f" (chosen: {text})"
    return f"{data}, {arm}: {', '.join(texts)} %{tuned}"
