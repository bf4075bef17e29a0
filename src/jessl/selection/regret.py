"""The regret of a choice that was made without labels, measured with labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jessl.core.rank_correlation import Agreement, mean, pooled, spearman


@dataclass(frozen=True)
class RegretEstimate:
    """The loss of a choice by the numbers with labels, in units of the oracle (accuracy: 0 to 1).

    Attributes:
        chosen: mean of the chosen setting; best: of the setting that is best with labels.
        best_setting: its name.
        regret: how much worse the choice is, 0 or more.
        regret_sd: standard deviation of that difference over seeds; None where no setting has two.
        random_regret: mean regret of a setting that is drawn at random.
        spearman: rank correlation between the score and the oracle, over settings.
    """

    chosen: float
    best: float
    best_setting: str
    regret: float
    regret_sd: float | None
    random_regret: float
    spearman: Agreement


def estimate_regret(
    utilities: Sequence[float],
    oracles: Sequence[Sequence[float]],
    names: Sequence[str],
    chosen: int,
    *,
    higher_is_better: bool,
) -> RegretEstimate | None:
    """Compare a choice with the choice that labels would have made.

    The best setting is the best one as measured, which depends on chance: the regret of a choice
    that is truly the best is above 0 on average.

    Args:
        utilities: of the settings, by the score: larger is better.
        oracles: for each setting the numbers of its runs; empty where none was measured.
        names: of the settings.
        chosen: index of the choice.
        higher_is_better: the direction of the oracle.

    Returns:
        None where the choice has no number with labels.
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
    return RegretEstimate(
        chosen=sign * means[chosen],
        best=sign * means[best],
        best_setting=names[best],
        regret=means[best] - means[chosen],
        regret_sd=spread,
        random_regret=means[best] - mean([means[k] for k in known]),
        spearman=spearman(utilities, means),
    )
