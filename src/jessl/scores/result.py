"""What a score answers: the number, how sure it is, and under which conventions it was taken."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ScoreResult:
    """One label-free score of one [n, d] matrix; `float(result)` is `.value`.

    Attributes:
        value: the score as published, of the n rows at hand.
        sd: standard deviation over samples of n rows, by the block jackknife: of `debiased`, or
            of `value` where no correction is known; None without a jackknife. It does not cover
            the spread between trainings, which is usually larger.
        debiased: estimate of the score of infinitely many rows; None where no correction is known.
        low, high: 95 % interval around `debiased` (or `value`), Student's t with one degree of
            freedom less than there are blocks; None without a jackknife.
        n, d: rows and features.
        higher_is_better: the direction; None where a value in between is best.
        params: the conventions (eps, centring, ...), the blocks used and the seed.
        warnings: what makes the number doubtful, one sentence each.
    """

    value: float
    sd: float | None
    debiased: float | None
    low: float | None
    high: float | None
    n: int
    d: int
    higher_is_better: bool | None
    params: dict[str, Any]
    warnings: tuple[str, ...]

    def __float__(self) -> float:
        return self.value

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        return {**asdict(self), "warnings": list(self.warnings)}
