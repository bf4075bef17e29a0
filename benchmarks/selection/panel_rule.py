"""The panel of jessl.selection on the numbers of a sweep, as `jessl select --by panel` has it."""

from __future__ import annotations

import math

import numpy as np
from criteria import DEVIATION
from sweeps import Sweep

from jessl.selection.candidates import DistanceFromStart, RunSummary
from jessl.selection.criteria import CriterionValue, parse_criterion
from jessl.selection.grouping import group_runs
from jessl.selection.panel import FAMILIES, panel_comparison
from jessl.selection.ties_and_plateaus import compare_settings

ABSTAINED = None


def panel_places(sweep: Sweep, criteria: dict[str, np.ndarray]) -> tuple[int | None, int | None]:
    """(value that the panel takes, None where it abstains; value with the lowest mean rank)."""
    texts = list(FAMILIES.values())
    if any(text not in criteria for text in texts):
        return ABSTAINED, ABSTAINED
    runs, places = [], []
    for (i, k), value in np.ndenumerate(criteria[texts[0]]):
        if not math.isfinite(value):
            continue
        measured = {
            text: CriterionValue(
                float(criteria[text][i, k]),
                sd=_finite(criteria[f"{text}{DEVIATION}"][i, k]),
            )
            for text in texts
        }
        start = DistanceFromStart(
            float(criteria["view_retrieval untrained/backbone"][i, k]),
            float(value),
            float(criteria[f"{texts[0]}{DEVIATION}"][i, k]),
        )
        runs.append(
            RunSummary(
                run=f"{i}-{k}",
                path=f"{i}-{k}",
                method=sweep.method,
                seed=k,
                # as text: no order, and so no plateau
                fields={sweep.field: f"{i}"},
                measured=measured,
                start=start,
            )
        )
        places.append(i)
    if len(set(places)) < 2:
        return ABSTAINED, ABSTAINED
    chosen_by = [parse_criterion(text) for text in texts]
    groups, _ = group_runs(runs, chosen_by[0], force=False)
    settings = groups[0].settings
    comparisons = {
        c.text: compare_settings(settings, c, along=None, plateau=False) for c in chosen_by
    }
    result, _ = panel_comparison(settings, comparisons)
    place_of = [int(s.runs[0].run.partition("-")[0]) for s in settings]
    ranks = np.array(result.means)
    best = place_of[int(np.nanargmin(ranks))] if np.isfinite(ranks).any() else ABSTAINED
    return (ABSTAINED if result.chosen is None else place_of[result.chosen]), best


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
