"""The result of a score: the number, its uncertainty, and the conventions it was computed under."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from jessl.core.notebook import WARNING, Described, with_interval


@dataclass(frozen=True, kw_only=True, repr=False)
class ScoreResult(Described):
    """One label-free score of one [n, d] matrix; `float(result)` is `.value`.

    Example:
        result = jessl.score(z)["rankme"]
        print(result.debiased, (result.low, result.high), result.warnings)

    Attributes:
        value: the score as published, of the n rows at hand; NaN where it is not defined.
        sd: standard deviation over samples of n rows, by the block jackknife: of `debiased`, or
            of `value` where no correction is known; None without a jackknife. It does not cover
            the spread between trainings, which is usually larger.
        debiased: estimate of the score of infinitely many rows; None where no correction is known.
        low, high: 95 % interval around `debiased` (or `value`), Student's t with one degree of
            freedom less than there are blocks; None without a jackknife.
        n, d: rows (images, for a score of views) and features.
        higher_is_better: the direction; None where a value in between is best.
        params: the conventions (eps, ...), the number of blocks used, the seed and the source.
        warnings: what makes the number unreliable, one sentence each.
        curve: (rows, value) for a quarter, half and all of the rows; empty unless requested.
    """

    value: float
    sd: float | None
    debiased: float | None
    low: float | None
    high: float | None
    n: int
    d: int
    higher_is_better: bool | None
    params: dict[str, object]
    warnings: tuple[str, ...]
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def conclusion(self) -> str:
        """The number with its interval first, which is around the corrected one where there is one.

        Example:
            >>> jessl.score(z)["rankme"].conclusion
            '8.001 (7.972 to 8.031), as published 7.959, of 200 x 8'
        """
        name_and_text = [row for row in self.describe() if row[0] != WARNING]
        return ", ".join(f"{name} {text}".strip() for name, text in name_and_text)

    def describe(self) -> list[tuple[str, str]]:
        """The number with its interval, as published, the shape, warnings."""
        best = self.value if self.debiased is None else self.debiased
        rows = [("", with_interval(best, self.low, self.high))]
        if self.debiased is not None:
            rows.append(("as published", f"{self.value:.4g}"))
        rows.append(("of", f"{self.n:,} x {self.d}"))
        return [*rows, *((WARNING, text) for text in self.warnings)]

    def __float__(self) -> float:
        return self.value

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values; None for numbers that are not finite."""
        fields = asdict(self)
        numbers = ("value", "sd", "debiased", "low", "high")
        return {
            **fields,
            **{name: _finite_or_none(fields[name]) for name in numbers},
            "warnings": list(self.warnings),
            "curve": [[rows, _finite_or_none(value)] for rows, value in self.curve],
        }


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
