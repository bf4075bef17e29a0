"""Whether two orders of settings agree, and what labels say of a choice made without them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# fewer settings than this have no order to speak of
FEWEST = 3


@dataclass(frozen=True)
class Agreement:
    """How alike two orders are.

    Attributes:
        value: Kendall's tau-b or Spearman's rho, -1 to 1; None below three settings, or where one
            of the two does not differ.
        p: of no association, two-sided; None as the value.
        settings: how many were compared.
    """

    value: float | None
    p: float | None
    settings: int


@dataclass(frozen=True)
class Verdict:
    """What labels say of a choice, in units of the oracle (accuracy: 0 to 1).

    Attributes:
        chosen: mean of the chosen setting; best: of the setting that is best by labels.
        best_setting: its name.
        regret: how much worse the choice is, 0 or more.
        regret_sd: standard deviation of that difference over seeds; None where no setting has two.
        random_regret: what a setting taken at random loses on average.
        spearman: between the score and the oracle, over settings.
    """

    chosen: float
    best: float
    best_setting: str
    regret: float
    regret_sd: float | None
    random_regret: float
    spearman: Agreement


def kendall(a: Sequence[float], b: Sequence[float]) -> Agreement:
    """Kendall's tau-b between two rows of merits; pairs with NaN are left out."""
    return _agreement("kendalltau", a, b)


def spearman(a: Sequence[float], b: Sequence[float]) -> Agreement:
    """Spearman's rho between two rows of merits; pairs with NaN are left out."""
    return _agreement("spearmanr", a, b)


def _agreement(kind: str, a: Sequence[float], b: Sequence[float]) -> Agreement:
    from scipy import stats

    pairs = [p for p in zip(a, b, strict=True) if all(math.isfinite(v) for v in p)]
    if len(pairs) < FEWEST or any(len({p[k] for p in pairs}) < 2 for k in (0, 1)):
        return Agreement(None, None, len(pairs))
    found = getattr(stats, kind)([p[0] for p in pairs], [p[1] for p in pairs])
    p = float(found.pvalue)
    return Agreement(float(found.statistic), p if math.isfinite(p) else None, len(pairs))


def pooled(rows: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """(variance within rows, degrees of freedom): sum of squares over sum of (length - 1).

    None and 0 where no row has two numbers.
    """
    df = sum(len(row) - 1 for row in rows if row)
    if not df:
        return None, 0
    return sum((v - mean(row)) ** 2 for row in rows for v in row) / df, df


def mean(row: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return sum(row) / len(row) if row else math.nan


def judge(
    merits: Sequence[float],
    oracles: Sequence[Sequence[float]],
    names: Sequence[str],
    chosen: int,
    *,
    higher_is_better: bool,
) -> Verdict | None:
    """Compare a choice with what labels would have chosen.

    The best setting is the best one measured: chance has a part in it, so that the regret of a
    choice that is truly the best is above 0 on average.

    Args:
        merits: of the settings, by the score.
        oracles: of each setting the numbers of its runs; empty where none was measured.
        names: of the settings.
        chosen: index of the choice.
        higher_is_better: of the oracle.

    Returns:
        None where the choice has no number.
    """
    if not oracles[chosen]:
        return None
    sign = 1 if higher_is_better else -1
    means = [sign * mean(row) for row in oracles]
    known = [k for k, row in enumerate(oracles) if row]
    best = max(known, key=lambda k: (means[k], k == chosen))
    variance, _ = pooled([oracles[k] for k in known])
    spread = None
    if variance is not None:
        parts = 0.0 if best == chosen else 1 / len(oracles[best]) + 1 / len(oracles[chosen])
        spread = math.sqrt(variance * parts)
    return Verdict(
        chosen=sign * means[chosen],
        best=sign * means[best],
        best_setting=names[best],
        regret=means[best] - means[chosen],
        regret_sd=spread,
        random_regret=means[best] - mean([means[k] for k in known]),
        spearman=spearman(merits, means),
    )
