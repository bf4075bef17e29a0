"""The choice of one score among the settings of a group: noise, ties, plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jessl.core.rank_correlation import mean, pooled
from jessl.selection.criteria import LOSS, Criterion
from jessl.selection.grouping import Setting, is_number

# blocks of the jackknife where its number is not told (a table)
_BLOCKS = 20


@dataclass(frozen=True)
class Compared:
    """Settings of a group by one score.

    Attributes:
        means: of the settings, over the seeds; NaN where every run diverged.
        merits: the same so that larger is better, logarithms where `log`.
        seed_sds, image_sds: of each setting over its seeds, and the root mean square of the
            jackknife's of its runs; None where unknown.
        log: whether values were compared by their logarithms.
        noise: "seeds", "images" (the jackknife alone) or "none".
        df: degrees of freedom of the noise; None without any.
        tied: whether each is tied with the best.
        best, chosen: indices; None where every run diverged.
        rule: what decided, in words.
    """

    means: tuple[float, ...]
    merits: tuple[float, ...]
    seed_sds: tuple[float | None, ...]
    image_sds: tuple[float | None, ...]
    log: bool
    noise: str
    df: float | None
    tied: tuple[bool, ...]
    best: int | None
    chosen: int | None
    rule: str


def compared(
    settings: Sequence[Setting], criterion: Criterion, *, along: str | None, plateau: bool
) -> Compared:
    """Order settings by one score, and choose.

    Noise: the variance of a setting's mean is the variance between seeds, pooled over the settings
    that have two or more, divided by its own seeds (it contains the sampling of images); where none
    has two, the jackknife's alone, which does not cover the spread between trainings; a setting
    without one is given the largest of the others. Values that
    are all positive are compared by their logarithms, since their spread grows with them; the loss
    and scores that are best in between as they are.

    Args:
        settings: at least one.
        criterion: what of them.
        along: the hyperparameter along which a plateau is looked for; None: the only one that
            varies.
        plateau: whether to look for one.
    """
    rows = [s.values(criterion) for s in settings]
    log = (
        criterion.higher_is_better is not None
        and criterion.score != LOSS
        and all(v > 0 for row in rows for v in row)
    )
    means = [mean(row) for row in rows]
    merits = [_merit(m, criterion, log) for m in means]
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
        best, tied = ties(merits, variances, known)
        chosen, rule = best, "the best value"
        if criterion.is_rank and plateau:
            chosen, rule = _along(settings, along, best, tied)
    return Compared(
        means=tuple(means),
        merits=tuple(merits),
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


def axis_of(settings: Sequence[Setting], along: str | None) -> str | None:
    """The hyperparameter that settings are ordered by: `along` by its whole name or its last part,
    or else the only one that varies; None where there is none, or not all its values are numbers.
    """
    names = list(settings[0].fields)
    if along is not None:
        names = [n for n in names if along in (n, n.rpartition(".")[2])]
    if len(names) != 1 or not all(is_number(s.fields[names[0]]) for s in settings):
        return None
    return names[0]


def _along(
    settings: Sequence[Setting], along: str | None, best: int, tied: Sequence[bool]
) -> tuple[int, str]:
    """(index, rule) by the plateau along one hyperparameter, where there is one."""
    axis = axis_of(settings, along)
    if axis is None:
        return best, "the highest value"

    def others(k: int) -> dict[str, object]:
        return {n: v for n, v in settings[k].fields.items() if n != axis}

    line = [k for k in range(len(settings)) if others(k) == others(best)]
    if any(tied[k] and k not in line for k in range(len(settings))):
        return best, f"the highest value: the tied settings differ in more than {axis}"
    line.sort(key=lambda k: settings[k].fields[axis])
    positions = [float(settings[k].fields[axis]) for k in line]
    place, rule = on_plateau(axis, positions, [tied[k] for k in line], line.index(best))
    return line[place], rule


def _merit(value: float, criterion: Criterion, log: bool) -> float:
    if not log or math.isnan(value):
        return criterion.merit(value)
    return math.log(value) if criterion.higher_is_better else -math.log(value)


def _seed_sd(row: list[float]) -> float | None:
    variance, _ = pooled([row])
    return None if variance is None else math.sqrt(variance)


def _image_sd(setting: Setting, criterion: Criterion) -> float | None:
    sds = [e.measured[criterion.text].sd for e in setting.sound]
    known = [sd for sd in sds if sd is not None and math.isfinite(sd)]
    return math.sqrt(mean([sd * sd for sd in known])) if known else None


def _blocks(settings: Sequence[Setting], criterion: Criterion) -> int:
    """The fewest blocks of a jackknife among the runs."""
    params = [e.measured[criterion.text].params or {} for s in settings for e in s.sound]
    return min((int(p["jackknife"]) for p in params if p.get("jackknife")), default=_BLOCKS)


def limit(df: float, settings: int) -> float:
    """How many standard deviations of a difference the best may be above one that is tied with it.

    The quantile of Student's t at .975; of more than three settings the one at which, by
    Bonferroni's bound, the truly best is within reach of the apparent one in 95 % of all cases:
    the largest of many noisy numbers is too large by more than one difference tells.

    Args:
        df: degrees of freedom of the noise.
        settings: how many are compared.
    """
    from scipy.stats import t

    beyond = min(0.025, 0.05 / max(1, settings - 1))
    return float(t.ppf(1 - beyond, df))


def ties(
    merits: Sequence[float], variances: Sequence[float], df: float | None
) -> tuple[int, list[bool]]:
    """(index of the best, whether each is tied with it).

    A setting is tied where its merit is below the best by less than
    limit(df, settings) * sqrt(v_best + v). A variance that is unknown is taken to be the largest
    known one: what nobody measured is no reason to tell settings apart. NaN merits never are tied;
    without noise (df None) only equals.

    Args:
        merits: larger is better; at least one is a number.
        variances: of the merits; NaN where unknown.
        df: degrees of freedom of the variances.
    """
    sound = [k for k, merit in enumerate(merits) if merit == merit]
    best = max(sound, key=lambda k: merits[k])
    reach = 0.0 if df is None else limit(df, len(sound))
    largest = max((variances[k] for k in sound if variances[k] == variances[k]), default=0.0)
    spread = [largest if v != v else v for v in variances]

    def tied(k: int) -> bool:
        if k not in sound:
            return False
        apart = merits[best] - merits[k]
        if apart == 0:
            return True
        return df is not None and apart < reach * (spread[best] + spread[k]) ** 0.5

    return best, [tied(k) for k in range(len(merits))]


def on_plateau(
    axis: str, positions: Sequence[float], tied: Sequence[bool], best: int
) -> tuple[int, str]:
    """(index to take, the rule in words) along one hyperparameter, in rising order.

    The plateau is the run of neighbours around the best that are tied with it. One that reaches the
    largest value swept is taken at its smallest (the first value that reaches it), one that reaches
    the smallest value swept at its largest, one inside at the best itself (Garrido et al. 2023,
    caption of figure 4). One that is everything says nothing: the best.

    Args:
        axis: name of the hyperparameter.
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
    span = f"{axis} {positions[first]:g} to {positions[last]:g}"
    if first == last:
        return best, "the highest value"
    if (first, last) == (0, end):
        return best, f"all of {span} is one plateau, nothing tells them apart: the highest value"
    if last == end:
        return first, f"plateau of {span}, up to the largest swept: the first value that reaches it"
    if first == 0:
        return last, f"plateau of {span}, down to the smallest swept: its largest value"
    return best, f"plateau of {span}, inside of what was swept: the highest value"
