"""Which runs continue: successive halving on a label-free score.

Asynchronous (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2):
a run that reaches a rung is compared with those that reached it before; no run waits. Ranks are
compared within one method only (Garrido et al. 2023, section 3.2), so the runs of each method halve
among themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


def rungs(epochs: int, grace_epochs: int, keep_share: float, every: int) -> list[int]:
    """Epochs after which runs are compared: the grace, then 1 / keep_share times as many each time.

    Args:
        epochs: of a run; a rung at its end would save nothing.
        grace_epochs: at least 1.
        keep_share: in (0, 1).
        every: epochs between two evaluations: a rung is at the first one not before its time.

    Returns:
        Increasing epochs, all below `epochs`; empty where the grace is as long as the run.
    """
    epochs_of_rungs: list[int] = []
    at = float(grace_epochs)
    while True:
        epoch = every * math.ceil(at / every - 1e-9)
        if epoch >= epochs:
            return epochs_of_rungs
        epochs_of_rungs.append(epoch)
        # as often as it takes to come past this rung: a share near 1 would take for ever
        times = math.log(epoch / at) / -math.log(keep_share)
        at /= keep_share ** max(1, math.ceil(times - 1e-9))
        while every * math.ceil(at / every - 1e-9) <= epoch:
            at /= keep_share


def goes_on(merit: float, others: Iterable[float], keep_share: float) -> bool:
    """Whether a run with this merit is among the best `keep_share` of all that reached its rung.

    Args:
        merit: larger is better; NaN never continues.
        others: merits of the runs that reached the rung before; NaN counts as the worst.
        keep_share: in (0, 1); of few runs at least one continues, so the first always does.
    """
    if math.isnan(merit):
        return False
    known = [-math.inf if math.isnan(m) else m for m in others]
    continuing = max(1, math.ceil(keep_share * (len(known) + 1) - 1e-9))
    return sum(m > merit for m in known) < continuing
