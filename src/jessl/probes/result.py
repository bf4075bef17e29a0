"""Results of probes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from jessl.core.notebook import Described, percent
from jessl.probes.bootstrap import Estimate, Resampled, percentile_interval

_ARRAYS = ("correct", "losses", "ids", "units")


class ClassResult(TypedDict):
    """The error of one class: its name where known, the error (0..1) and the number of rows."""

    name: str | None
    error: float
    n: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeResult(Described):
    """How well labels can be read off embeddings.

    Attributes:
        accuracy, error: shares of the labelled test rows, 0..1; they sum to 1.
        top5: share with the label among the five best classes; None with fewer than 6 classes.
        low, high: 95 % interval of `error` over the choice of test rows: Wilson's, or by a
            bootstrap of groups where test has them. It does not include the spread over training
            sets.
        balanced_accuracy: mean over the classes of test of their accuracies.
        log_loss: mean of minus the log-probability of the label, nats; None where the probe gives
            no probabilities.
        intervals: 95 % intervals of top5, balanced_accuracy and log_loss, by a bootstrap of test
            rows.
        per_class: {label: {"name", "error", "n"}} of the classes of test.
        params: the protocol: kind, hyperparameters, counts, standardisation, rows left out.
        curve: the values by which the hyperparameter was chosen: {"C": [...], "error": [...]},
            measured on held-out training rows; None where there was nothing to choose.
        correct: bool [m], whether each labelled test row was classified correctly.
        losses: float64 [m], their log-losses; None with `log_loss`.
        ids: int64 [m], their ids; units: rows resampled together, None: each row by itself.
    """

    accuracy: float
    error: float
    top5: float | None
    low: float
    high: float
    balanced_accuracy: float
    log_loss: float | None
    intervals: dict[str, tuple[float, float]]
    per_class: dict[str, ClassResult]
    params: dict[str, Any]
    curve: dict[str, list[float]] | None
    correct: NDArray[np.bool_] = field(repr=False)
    losses: NDArray[np.float64] | None = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    units: NDArray[np.int64] | None = field(repr=False)

    def describe(self) -> list[tuple[str, str]]:
        """Accuracy with its interval, the probe, the rows, warnings.

        Example:
            >>> str(jessl.probe(train, test))
            'accuracy 91.7 % (89.1 to 93.7), probe logistic, test rows 597, train rows 1,200'
        """
        return [
            ("accuracy", percent(self.accuracy, 1 - self.high, 1 - self.low)),
            ("probe", str(self.params.get("kind", ""))),
            ("test rows", f"{len(self.correct):,}"),
            ("train rows", f"{self.params['train_rows']:,}" if "train_rows" in self.params else ""),
            *(("warning:", text) for text in self.params.get("warnings", ())),
        ]

    def as_json(self) -> dict[str, object]:
        """All fields except the arrays as JSON values."""
        fields = {k: v for k, v in vars(self).items() if k not in _ARRAYS}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()} | {
            "intervals": {k: list(v) for k, v in self.intervals.items()}
        }

    def minus(self, other: ProbeResult, *, seed: int = 0) -> Estimate:
        """The difference of the errors on the same test rows: this minus the other.

        The interval is by the paired bootstrap, so rows that are hard for both do not widen it.

        Example:
            print(jessl.probe(train, test).minus(jessl.probe(train, test, kind="ridge")))

        Raises:
            ValueError: when the test rows are not the same (ids, in order).
        """
        if not np.array_equal(self.ids, other.ids):
            raise ValueError(
                f"other: expected the {len(self.ids)} test rows of this probe, got others"
            )
        wrong = {name: (~r.correct).astype(float) for name, r in (("a", self), ("b", other))}
        draws = Resampled(wrong, np.random.default_rng([seed, 5]), self.units)
        return Estimate(self.error - other.error, *percentile_interval(draws["a"] - draws["b"]))


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """The error of probes fitted on a few labels, over several draws of them.

    Attributes:
        shots: training images per class; fraction: share of all, 0..1; the one not set is None.
        rows: training rows of a draw.
        error: mean over the draws with its 95 % interval over the choice of training and test
            images: t with draws - 1 degrees of freedom; over test images only for one draw.
        accuracy: the same for 1 - error.
        sd: over the draws, None for one.
        errors: of each draw.
        chosen: hyperparameters of each draw.
        params: the protocol.
    """

    shots: int | None
    fraction: float | None
    rows: int
    error: Estimate
    accuracy: Estimate
    sd: float | None
    errors: tuple[float, ...]
    chosen: tuple[dict[str, object], ...]
    params: dict[str, Any]

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        return asdict(self)


def wilson_interval(wrong: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927): within 0..1, valid also at 0 and at 1."""
    z = 1.959963984540054
    share = wrong / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # the share itself must stay inside in spite of rounding
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
