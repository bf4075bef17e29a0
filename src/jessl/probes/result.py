"""Results of probes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from jessl.core.notebook import WARNING, Described, article, percent
from jessl.probes.bootstrap import Estimate, Resampled, percentile_interval, widened

_ARRAYS = ("correct", "losses", "ids", "units")


class ClassResult(TypedDict):
    """The error of one class: its name where known, the error (0..1) and the number of rows."""

    name: str | None
    error: float
    n: int


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ProbeResult(Described):
    """How well labels can be read off embeddings.

    Attributes:
        accuracy, error: shares of the labelled test rows, 0..1; they sum to 1.
        top5: share with the label among the five best classes; None with fewer than 6 classes.
        low, high: 95 % interval of `error` over the choice of test rows: Wilson's, or by a
            bootstrap of groups where test has them. It does not include the spread over training
            sets, except where the folds of one set are tested: that interval is wider by what
            their shared rows add (`params["variance_factor"]` times the variance).
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

    @property
    def conclusion(self) -> str:
        """Accuracy with its interval, beside that of the most frequent class.

        Example:
            >>> jessl.probe(train, test).conclusion
            'A logistic probe on 1,200 labels names the class of 91.7 % (95 %: 89.1 to 93.7) of
            597 test images; the most frequent class alone would be right in 10.6 %'
        """
        kind, folds = self.params.get("kind", ""), self.params.get("cross_validated")
        n = sum(one["n"] for one in self.per_class.values())
        fitted = f" on {self.params['train_rows']:,} labels" if "train_rows" in self.params else ""
        images = f"{n:,} test images"
        if folds is not None:
            fitted = ""
            images = f"the {n:,} labelled images, each left out of its fit ({folds} folds)"
        most = max((one["n"] for one in self.per_class.values()), default=0) / max(n, 1)
        return (
            f"{article(str(kind))} {kind} probe{fitted} names the class of "
            f"{percent(self.accuracy, 1 - self.high, 1 - self.low)} of {images}; the most "
            f"frequent class alone would be right in {percent(most)}"
        )

    def describe(self) -> list[tuple[str, str]]:
        """Accuracy with its interval, the probe, the rows, warnings."""
        return [
            ("accuracy", percent(self.accuracy, 1 - self.high, 1 - self.low)),
            ("probe", str(self.params.get("kind", ""))),
            ("test rows", f"{len(self.correct):,}"),
            ("train rows", f"{self.params['train_rows']:,}" if "train_rows" in self.params else ""),
            *((WARNING, text) for text in self.params.get("warnings", ())),
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
        For cross-validated probes, which are compared fold by fold, it is wider by
        `params["variance_factor"]` (of the variance), as their training rows overlap.

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
        low, high = percentile_interval(draws["a"] - draws["b"])
        factor = self.params.get("variance_factor", 1.0)
        return Estimate(self.error - other.error, *widened(low, high, factor))


@dataclass(frozen=True, kw_only=True, repr=False)
class FewShot(Described):
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

    @property
    def conclusion(self) -> str:
        """The accuracy with its interval, and how many labels gave it."""
        return few_shot_conclusion([self])

    def describe(self) -> list[tuple[str, str]]:
        """Accuracy, the labels of a draw, the draws."""
        accuracy = self.accuracy
        return [
            ("accuracy", percent(accuracy.value, accuracy.low, accuracy.high)),
            ("labels", f"{self.rows:,}"),
            ("draws", f"{len(self.errors)}"),
            ("sd of draws", "" if self.sd is None else percent(self.sd)),
        ]

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        return asdict(self)


def few_shot_conclusion(results: Sequence[FewShot]) -> str:
    """One sentence on what several amounts of labels give.

    Example:
        >>> few_shot_conclusion(few_shot(train, test, shots=(1, 5)))  # doctest: +SKIP
        'A logistic probe names the class of 58.1 % (95 %: 47.1 to 69.0) with 1 label of each class,
        82.0 % (79.3 to 84.7) with 5; means over 5 draws of the labels'
    """
    parts = []
    for k, one in enumerate(results):
        labels = f"{one.rows:,}" if one.shots is None else str(one.shots)
        if k == 0:
            what = "label" if labels == "1" else "labels"
            labels += f" {what}" if one.shots is None else f" {what} of each class"
        accuracy = one.accuracy
        parts.append(f"{percent(accuracy.value, accuracy.low, accuracy.high)} with {labels}")
    kind, draws = str(results[0].params["kind"]), len(results[0].errors)
    text = f"{article(kind)} {kind} probe names the class of {', '.join(parts)}"
    return text if draws == 1 else f"{text}; means over {draws} draws of the labels"


def wilson_interval(wrong: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927): within 0..1, valid also at 0 and at 1."""
    z = 1.959963984540054
    share = wrong / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # the share itself must stay inside in spite of rounding
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
