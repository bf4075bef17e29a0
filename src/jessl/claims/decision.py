"""The rule: from an effect, its interval and the smallest effect of interest to an outcome.

Three kinds of claims, each decided by the 95 % interval and the smallest effect of interest s > 0:

    rule       the claim is               holds where                contradicted where
    more       A is better than B         low > 0 and effect >= s    high < s
    not less   A is no worse than B       low > -s                   high < 0 and effect <= -s
    same       A and B do not differ      -s < low and high < s      0 outside, |effect| >= s

In every other case the data do not decide. "not less" is the mirror image of "more".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jessl.core.validation import check_choice, check_float

HOLDS, CONTRADICTED = "holds", "contradicted"
UNDECIDED = "cannot be decided at this scale"
NOT_MEASURED = "not measured"
MORE, NOT_LESS, SAME = "more", "not less", "same"
RULES = (MORE, NOT_LESS, SAME)
# quantiles of the normal distribution: of 95 % intervals, and of 80 % power
_INTERVAL, _POWER = 1.959964, 0.841621


@dataclass(frozen=True)
class ClaimPart:
    """One comparison of a claim.

    Attributes:
        name: what is compared, on which images, by which measure.
        effect, low, high: its size with the 95 % interval, in `unit`.
        smallest: smallest effect of interest, above 0, in `unit`.
        rule: "more", "not less" or "same"; None: reported, not decided.
        unit: such as "points".
        n: what was resampled or repeated, in words.
    """

    name: str
    effect: float
    low: float
    high: float
    smallest: float
    rule: str | None
    unit: str = "points"
    n: str = ""

    @property
    def outcome(self) -> str | None:
        """By the rule; None where the part is only reported."""
        if self.rule is None:
            return None
        return decide(self.effect, self.low, self.high, self.smallest, self.rule)

    @property
    def detectable(self) -> float:
        """The effect that would have been seen in four of five repetitions."""
        return detectable(self.low, self.high)

    def as_json(self) -> dict[str, object]:
        """All fields, with the outcome."""
        more = {"outcome": self.outcome, "detectable": self.detectable}
        return asdict(self) | more

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ClaimPart:
        """The inverse of `as_json`; the outcome is computed again."""
        return cls(**{k: values[k] for k in cls.__dataclass_fields__})


def decide(effect: float, low: float, high: float, smallest: float, rule: str) -> str:
    """Whether a claim holds, by its rule.

    Args:
        effect, low, high: with the 95 % interval; a NaN decides nothing.
        smallest: the smallest effect of interest.
        rule: "more", "not less" or "same".

    Raises:
        ValueError: for an unknown rule, and a smallest effect that is not above 0.

    Example:
        >>> decide(3.0, 2.0, 4.0, 1.0, "more")
        'holds'
    """
    check_choice("rule", rule, RULES)
    check_float("smallest", smallest, above=0)
    if any(math.isnan(x) for x in (effect, low, high)):
        return UNDECIDED
    if rule == MORE:
        holds, against = low > 0 and effect >= smallest, high < smallest
    elif rule == NOT_LESS:
        holds, against = low > -smallest, high < 0 and effect <= -smallest
    else:
        holds = -smallest < low and high < smallest
        against = (low > 0 or high < 0) and abs(effect) >= smallest
    return HOLDS if holds else CONTRADICTED if against else UNDECIDED


def combine(parts: Sequence[ClaimPart]) -> str:
    """The outcome of a claim: every decided part must hold; one that is contradicted contradicts.

    Example:
        >>> combine([])
        'not measured'
    """
    outcomes = [p.outcome for p in parts if p.rule is not None]
    if not outcomes:
        return NOT_MEASURED
    if CONTRADICTED in outcomes:
        return CONTRADICTED
    return HOLDS if all(o == HOLDS for o in outcomes) else UNDECIDED


def detectable(low: float, high: float) -> float:
    """The effect that a study with an interval of this width sees with a power of 80 %."""
    return (high - low) / 2 * (1 + _POWER / _INTERVAL)
