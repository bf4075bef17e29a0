"""The panel: three unlike criteria vote, and where they do not meet, the default is kept.

Each family looks at something else: views (does the encoder find the other view of an image),
spectrum (do views agree on what the tail of the spectrum holds), task (can a probe tell rotations).
Settings clearly below the untrained encoder are dropped first, since a collapsed encoder can look
best to a single criterion. Each family then ranks the rest, settings that are tied with its best
sharing the first places, and the lowest mean rank (Borda) among the settings that all families
count among their best is chosen. Where there is none, the panel abstains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jessl.selection.criteria import Criterion, parse_criterion
from jessl.selection.grouping import Setting
from jessl.selection.ties_and_plateaus import SettingComparison

PANEL = "panel"
_NONE_ELIGIBLE = "all settings are below the untrained encoder, or lack a score"
# family -> its criterion; equal weights, nothing fitted
FAMILIES = {
    "views": "view_retrieval/backbone",
    "spectrum": "cross_view_reliability/backbone",
    "task": "rotation/backbone",
}


def deciding_criteria(by: str) -> list[Criterion]:
    """The criteria that choose: those of the panel for "panel", else the one that is named.

    Example:
        deciding_criteria("rankme/backbone")

    Raises:
        ValueError: for an unknown score, option or layer.
    """
    return [parse_criterion(text) for text in (FAMILIES.values() if by == PANEL else (by,))]


@dataclass(frozen=True)
class PanelVote:
    """What the families say together.

    Attributes:
        mean_ranks: of each setting, 1 is best; NaN for settings that were dropped.
        dropped: places of settings below the untrained encoder, or without a value.
        best: family -> places of its best settings that cannot be distinguished.
        chosen: the place of the choice; None where the panel abstains.
        rule: the reason, in words.
    """

    mean_ranks: tuple[float, ...]
    dropped: tuple[int, ...]
    best: dict[str, tuple[int, ...]]
    chosen: int | None
    rule: str


def vote(comparisons: Mapping[str, SettingComparison], below_start: Sequence[bool]) -> PanelVote:
    """Let the families vote.

    Example:
        vote({"views": by_retrieval, "spectrum": by_reliability}, [False] * settings)

    Args:
        comparisons: family -> the same settings compared by its criterion.
        below_start: whether each setting is below the untrained encoder.
    """
    count = len(below_start)
    eligible = [
        k
        for k in range(count)
        if not below_start[k] and all(math.isfinite(c.utilities[k]) for c in comparisons.values())
    ]
    dropped = tuple(k for k in range(count) if k not in eligible)
    nothing = (math.nan,) * count
    if not eligible:
        return PanelVote(nothing, dropped, {}, None, _NONE_ELIGIBLE)
    best: dict[str, tuple[int, ...]] = {}
    ranks: list[dict[int, float]] = []
    for family, comparison in comparisons.items():
        utilities = comparison.utilities
        order = sorted(eligible, key=utilities.__getitem__, reverse=True)
        first = [k for k in order if comparison.tied[k] or k == order[0]]
        best[family] = tuple(first)
        others = [k for k in order if k not in first]
        shared = (1 + len(first)) / 2
        ranks.append(
            dict.fromkeys(first, shared) | {k: len(first) + 1.0 + j for j, k in enumerate(others)}
        )
    means = tuple(
        sum(r[k] for r in ranks) / len(ranks) if k in eligible else math.nan for k in range(count)
    )
    agreed = set.intersection(*(set(places) for places in best.values()))
    if not agreed:
        rule = "the families do not meet: keep the default"
        return PanelVote(means, dropped, best, None, rule)
    # equal mean ranks: the one that the first family likes best
    first_family = next(iter(comparisons.values()))
    chosen = min(agreed, key=lambda k: (means[k], -first_family.utilities[k]))
    rule = f"the lowest mean rank ({means[chosen]:.3g}) of the {len(agreed)} on which all agree"
    return PanelVote(means, dropped, best, chosen, rule)


def below_start(setting: Setting) -> bool:
    """Whether all runs of a setting find views clearly worse than their untrained encoders do.

    False where it was not recorded.
    """
    starts = [run.start for run in setting.sound if run.start is not None]
    return bool(starts) and all(start.clearly_worse for start in starts)


def panel_comparison(
    settings: Sequence[Setting], comparisons: Mapping[str, SettingComparison]
) -> tuple[SettingComparison, list[str]]:
    """The settings compared by the panel, as by a score, and a line on each family's vote.

    Args:
        settings: of one group.
        comparisons: criterion -> the settings compared by it; those of FAMILIES are read.
    """
    by_family = {family: comparisons[text] for family, text in FAMILIES.items()}
    result = vote(by_family, [below_start(s) for s in settings])
    agreed = set.intersection(*map(set, result.best.values())) if result.best else set()
    places = range(len(settings))
    none = tuple(None for _ in places)
    comparison = SettingComparison(
        means=result.mean_ranks,
        utilities=tuple(-rank for rank in result.mean_ranks),
        seed_sds=none,
        image_sds=none,
        log=False,
        noise="seeds" if all(c.noise == "seeds" for c in by_family.values()) else "images",
        df=None,
        tied=tuple(k in agreed for k in places),
        best=result.chosen,
        chosen=result.chosen,
        rule=result.rule,
    )
    votes = [
        f"{family} ({FAMILIES[family]}) votes for {_names(settings, best)}"
        for family, best in result.best.items()
    ]
    if result.dropped:
        votes.append(
            f"left out, below the untrained encoder or not finite: "
            f"{_names(settings, result.dropped)}"
        )
    return comparison, votes


def _names(settings: Sequence[Setting], places: Sequence[int]) -> str:
    return " = ".join(settings[k].name or "the setting" for k in places)
