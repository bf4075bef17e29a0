"""What a study found, as numbers and in plain words; pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

# a difference below so many seed standard deviations is called none
NOTICEABLE = 2.0


@dataclass(frozen=True)
class Trial:
    """One run of a study: which value of the swept parameter, which seed, and what came of it.

    Attributes:
        name: of the run; value: of the swept parameter; seed: of the run.
        rankme: at the projector on the pretraining images.
        accuracy: of the logistic probe on test images, None while labels are hidden or missing.
    """

    name: str
    value: float
    seed: int
    rankme: float
    accuracy: float | None


@dataclass(frozen=True)
class Config:
    """One value of the swept parameter: means and standard deviations over its seeds."""

    value: float
    rankme: float
    rankme_sd: float | None
    accuracy: float | None
    accuracy_sd: float | None


def configs(trials: Sequence[Trial]) -> list[Config]:
    """The configurations of a group of trials, in rising order of the value."""
    found = []
    for value in sorted({t.value for t in trials}):
        own = [t for t in trials if t.value == value]
        ranks = [t.rankme for t in own]
        accuracies = [t.accuracy for t in own if t.accuracy is not None]
        found.append(
            Config(
                value=value,
                rankme=statistics.fmean(ranks),
                rankme_sd=_sd(ranks),
                accuracy=statistics.fmean(accuracies) if accuracies else None,
                accuracy_sd=_sd(accuracies),
            )
        )
    return found


def _sd(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def judged(method: str, parameter: str, trials: Sequence[Trial]) -> dict[str, Any]:
    """One method's part of a study: the choice by RankMe and, with labels, what it cost.

    Regret is the best configuration's mean accuracy less the chosen one's; a random choice's is
    the best less the mean over configurations. Both are compared with the standard deviation of a
    single run over seeds, pooled over the configurations. The best is picked after the fact, so
    regrets are a little too large by construction.

    Returns:
        JSON values: method, parameter, runs, configs, chosen, chosen_run and, with labels, best,
        regret, random_regret, seed_sd, verdict.
    """
    found = configs(trials)
    chosen = max(found, key=lambda c: c.rankme)
    chosen_run = max(
        (t for t in trials if t.value == chosen.value), key=lambda t: (t.rankme, -t.seed)
    )
    answer: dict[str, Any] = {
        "method": method,
        "parameter": parameter,
        "runs": [{"name": t.name, "value": t.value, "seed": t.seed} for t in trials],
        "configs": [asdict(c) for c in found],
        "chosen": chosen.value,
        "chosen_run": chosen_run.name,
    }
    known = [c for c in found if c.accuracy is not None]
    if len(known) < len(found):
        return answer
    accuracy = {c.value: c.accuracy for c in known if c.accuracy is not None}
    best_value = max(accuracy, key=lambda v: accuracy[v])
    regret = accuracy[best_value] - accuracy[chosen.value]
    random_regret = accuracy[best_value] - statistics.fmean(accuracy.values())
    spreads = [c.accuracy_sd for c in known if c.accuracy_sd is not None]
    seed_sd = math.sqrt(statistics.fmean(s * s for s in spreads)) if spreads else None
    answer |= {
        "best": best_value,
        "regret": regret,
        "random_regret": random_regret,
        "seed_sd": seed_sd,
        "verdict": verdict(
            f"{method}: RankMe chose {parameter} {chosen.value:g}",
            chosen_accuracy=accuracy[chosen.value],
            best=f"{parameter} {best_value:g}",
            best_accuracy=accuracy[best_value],
            random_regret=random_regret,
            seed_sd=seed_sd,
        ),
    }
    return answer


def verdict(
    choice: str,
    *,
    chosen_accuracy: float,
    best: str,
    best_accuracy: float,
    random_regret: float,
    seed_sd: float | None,
) -> str:
    """One plain sentence on what a choice cost, against the best and against chance."""
    regret = best_accuracy - chosen_accuracy
    told = f"{choice} (accuracy {chosen_accuracy:.3f})"
    if seed_sd is None:
        place = "the best of them" if regret == 0 else f"the best is {best} ({best_accuracy:.3f})"
        return f"{told}; {place}; with one seed a configuration no difference can be shown"
    if regret == 0:
        against_best = f"{told}, none of the configurations is better"
    else:
        against_best = (
            f"{told}, {_in_sds(regret, seed_sd)} below the best, {best} ({best_accuracy:.3f}): "
            f"{_size(regret, seed_sd)}"
        )
    gain = random_regret - regret
    side = "more" if gain >= 0 else "less"
    return (
        f"{against_best}. That is {_in_sds(abs(gain), seed_sd)} {side} than a random choice gets "
        f"on average: {_size(abs(gain), seed_sd)}"
    )


def _in_sds(difference: float, sd: float) -> str:
    """A difference of accuracies in points and in seed standard deviations."""
    points = f"{100 * difference:.1f} points"
    return f"{points} ({difference / sd:.1f} seed sd)" if sd > 0 else points


def _size(difference: float, sd: float) -> str:
    if sd > 0 and difference / sd < NOTICEABLE:
        return "no difference"
    return "a difference" if difference > 0 else "no difference"
