"""The choice of one score among the settings of a group: noise, ties, plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jessl.study.agreement import mean, pooled
from jessl.study.criteria import LOSS, Criterion
from jessl.study.plateau import on_plateau, ties
from jessl.study.settings import Setting, is_number

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
    and scores that are best in between as they are. Ties and plateaus: jessl.study.plateau.

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
