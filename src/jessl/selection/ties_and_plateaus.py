"""The choice of one score among the settings of a group: noise, ties, plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jessl.core.rank_correlation import mean, pooled
from jessl.selection.criteria import LOSS, Criterion
from jessl.selection.grouping import Setting, is_number

# blocks of the jackknife where their number is not known (a table)
_BLOCKS = 20


@dataclass(frozen=True)
class SettingComparison:
    """The settings of a group compared by one score.

    Attributes:
        means: of the settings, over the seeds; NaN where every run diverged.
        utilities: the means with the sign such that larger is better, logarithms where `log`.
        seed_sds: standard deviation of each setting over its seeds; image_sds: root mean square of
            the jackknife standard deviations of its runs; None where unknown.
        log: whether values were compared by their logarithms.
        noise: "seeds", "images" (the jackknife alone) or "none".
        df: degrees of freedom of the noise; None without any.
        tied: whether each is tied with the best.
        best, chosen: indices; None where every run diverged.
        rule: the rule that decided, in words.
    """

    means: tuple[float, ...]
    utilities: tuple[float, ...]
    seed_sds: tuple[float | None, ...]
    image_sds: tuple[float | None, ...]
    log: bool
    noise: str
    df: float | None
    tied: tuple[bool, ...]
    best: int | None
    chosen: int | None
    rule: str


def compare_settings(
    settings: Sequence[Setting], criterion: Criterion, *, along: str | None, plateau: bool
) -> SettingComparison:
    """Order settings by one score, and choose one.

    Noise: the variance of a setting's mean is the variance between seeds, pooled over the settings
    that have two or more, divided by the number of its seeds (it contains the sampling of images).
    Where none has two, it is the variance of the jackknife alone, which does not cover the spread
    between trainings; a setting without one gets the largest of the others. Values that are all
    positive are compared by their logarithms, since their spread grows with them. The loss, and
    scores whose best value lies in between, are compared as they are.

    Args:
        settings: at least one.
        criterion: the score.
        along: the hyperparameter of the plateau; None: the only one that varies.
        plateau: whether to look for a plateau.
    """
    rows = [s.values(criterion) for s in settings]
    log = (
        criterion.higher_is_better is not None
        and criterion.score != LOSS
        and all(v > 0 for row in rows for v in row)
    )
    means = [mean(row) for row in rows]
    utilities = [_utility(m, criterion, log) for m in means]
    within, df = pooled([[math.log(v) if log else v for v in row] for row in rows])
    images = [_image_sd(s, criterion) for s in settings]
    if within is not None:
        noise, freedom = "seeds", float(df)
        variances = [within / len(row) if row else math.nan for row in rows]
    elif any(sd is not None for sd in images):
        noise, freedom = "images", float(_blocks(settings, criterion) - 1)
        variances = [
            math.nan if sd is None else (sd / m if log else sd) ** 2
            for sd, m in zip(images, means, strict=True)
        ]
    else:
        noise, freedom, variances = "none", math.nan, [math.nan for _ in rows]
    known = None if noise == "none" else freedom
    best: int | None = None
    chosen: int | None = None
    tied, rule = [False for _ in rows], "every run diverged"
    if any(rows):
        best, tied = find_ties(utilities, variances, known)
        chosen, rule = best, "the best value"
        if criterion.is_rank and plateau:
            chosen, rule = _choose_along(settings, along, best, tied)
    return SettingComparison(
        means=tuple(means),
        utilities=tuple(utilities),
        seed_sds=tuple(_seed_sd(row) for row in rows),
        image_sds=tuple(images),
        log=log,
        noise=noise,
        df=known,
        tied=tuple(tied),
        best=best,
        chosen=chosen,
        rule=rule,
    )


def plateau_parameter(settings: Sequence[Setting], along: str | None) -> str | None:
    """The hyperparameter that orders the settings.

    It is `along`, by its full name or its last part, or else the only one that varies. None where
    there is none, or where some of its values are not numbers.
    """
    names = list(settings[0].fields)
    if along is not None:
        names = [n for n in names if along in (n, n.rpartition(".")[2])]
    if len(names) != 1 or not all(is_number(s.fields[names[0]]) for s in settings):
        return None
    return names[0]


def _choose_along(
    settings: Sequence[Setting], along: str | None, best: int, tied: Sequence[bool]
) -> tuple[int, str]:
    """(index, rule) by the plateau along one hyperparameter, where there is one."""
    parameter = plateau_parameter(settings, along)
    if parameter is None:
        return best, "the highest value"

    def others(k: int) -> dict[str, object]:
        return {n: v for n, v in settings[k].fields.items() if n != parameter}

    def position(k: int) -> int | float:
        value = settings[k].fields[parameter]
        assert is_number(value)
        return value

    line = [k for k in range(len(settings)) if others(k) == others(best)]
    if any(tied[k] and k not in line for k in range(len(settings))):
        return best, f"the highest value: the tied settings differ in more than {parameter}"
    line.sort(key=position)
    positions = [float(position(k)) for k in line]
    place, rule = choose_on_plateau(parameter, positions, [tied[k] for k in line], line.index(best))
    return line[place], rule


def _utility(value: float, criterion: Criterion, log: bool) -> float:
    if not log or math.isnan(value):
        return criterion.utility(value)
    return math.log(value) if criterion.higher_is_better else -math.log(value)


def _seed_sd(row: list[float]) -> float | None:
    variance, _ = pooled([row])
    return None if variance is None else math.sqrt(variance)


def _image_sd(setting: Setting, criterion: Criterion) -> float | None:
    sds = [e.measured[criterion.text].sd for e in setting.sound]
    known = [sd for sd in sds if sd is not None and math.isfinite(sd)]
    return math.sqrt(mean([sd * sd for sd in known])) if known else None


def _blocks(settings: Sequence[Setting], criterion: Criterion) -> int:
    """The smallest number of jackknife blocks among the runs."""
    params = [e.measured[criterion.text].params or {} for s in settings for e in s.sound]
    return min((int(p["jackknife"]) for p in params if p.get("jackknife")), default=_BLOCKS)


def tie_threshold(df: float, settings: int) -> float:
    """The largest difference of a tied setting from the best, in standard deviations.

    The quantile of Student's t at .975. For more than three settings it is the quantile at which,
    by Bonferroni's bound, the truly best setting is tied with the apparent one in 95 % of all
    cases: the largest of many noisy numbers is biased upwards.

    Args:
        df: degrees of freedom of the noise.
        settings: how many are compared.
    """
    from scipy.stats import t

    beyond = min(0.025, 0.05 / max(1, settings - 1))
    return float(t.ppf(1 - beyond, df))


def find_ties(
    utilities: Sequence[float], variances: Sequence[float], df: float | None
) -> tuple[int, list[bool]]:
    """(index of the best, whether each is tied with it).

    A setting is tied where its utility is below the best by less than
    tie_threshold(df, settings) * sqrt(v_best + v). An unknown variance is replaced by the largest
    known one: settings are not distinguished by a variance that was not measured. NaN is never
    tied. Without noise (df None) only equal utilities are tied.

    Args:
        utilities: larger is better; at least one is a number.
        variances: of the utilities; NaN where unknown.
        df: degrees of freedom of the variances.
    """
    sound = [k for k, utility in enumerate(utilities) if not math.isnan(utility)]
    best = max(sound, key=lambda k: utilities[k])
    threshold = 0.0 if df is None else tie_threshold(df, len(sound))
    largest = max((variances[k] for k in sound if not math.isnan(variances[k])), default=0.0)
    filled = [largest if math.isnan(v) else v for v in variances]

    def tied(k: int) -> bool:
        if k not in sound:
            return False
        difference = utilities[best] - utilities[k]
        if difference == 0:
            return True
        return df is not None and difference < threshold * (filled[best] + filled[k]) ** 0.5

    return best, [tied(k) for k in range(len(utilities))]


def choose_on_plateau(
    parameter: str, positions: Sequence[float], tied: Sequence[bool], best: int
) -> tuple[int, str]:
    """(index of the choice, the rule in words) along one hyperparameter, in rising order.

    The plateau consists of the neighbours around the best that are tied with it. If it reaches the
    largest value of the sweep, its smallest value is chosen (the first that reaches the plateau);
    if it reaches the smallest value, its largest is chosen; if it lies inside, the best itself
    (Garrido et al. 2023, caption of figure 4). If it covers all values, it decides nothing, and the
    best is chosen.

    Args:
        parameter: name of the hyperparameter.
        positions: its values, rising.
        tied: whether each is tied with the best.
        best: index of the best.
    """
    end = len(positions) - 1
    first = last = best
    while first > 0 and tied[first - 1]:
        first -= 1
    while last < end and tied[last + 1]:
        last += 1
    span = f"{parameter} {positions[first]:g} to {positions[last]:g}"
    if first == last:
        return best, "the highest value"
    if (first, last) == (0, end):
        return best, f"all of {span} is one plateau, nothing tells them apart: the highest value"
    if last == end:
        return first, f"plateau of {span}, up to the largest swept: the first value that reaches it"
    if first == 0:
        return last, f"plateau of {span}, down to the smallest swept: its largest value"
    return best, f"plateau of {span}, inside of what was swept: the highest value"
