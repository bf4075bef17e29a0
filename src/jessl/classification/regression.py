"""Numbers for images: ridge regression on frozen features, with intervals that hold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.classification.distance import LabelledNeighbours
from jessl.classification.files import check_shapes
from jessl.classification.outcome import Outcome
from jessl.embeddings import Embeddings
from jessl.probes.standardize import mean_and_scale, standardise

# shares of the features' sum of squares
_PENALTIES = np.logspace(-4, 3, 15)
# share of images whose number lies in its interval
COVERAGE = 0.9
_BINS = 10


@dataclass(frozen=True, eq=False)
class Regression:
    """A ridge probe of numbers.

    Attributes:
        mean, scale: float64 [d] of the standardisation; weights: float64 [d]; bias.
        penalty: chosen by the error of left-out rows, in closed form.
        residuals: float64 [n], sorted: how far off each labelled number is by a fit without it.
        freedom: labelled rows minus the effective parameters of the fit (the trace of its hat
            matrix), at least 1.
        spread: standard deviation of the labelled numbers.
        cuts: numbers between the groups of the page.
        neighbours: labelled rows that distances refer to.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float
    penalty: float
    residuals: NDArray[np.float64]
    freedom: float
    spread: float
    cuts: NDArray[np.float64]
    neighbours: LabelledNeighbours

    @classmethod
    def fit(cls, x: Embeddings, y: NDArray[np.float64], *, seed: int = 0) -> Regression:
        """Fit on labelled rows; the penalty has the smallest leave-one-out error.

        Args:
            x: the labelled rows; y: [n] their numbers.
        """
        from sklearn.linear_model import RidgeCV

        mean, scale = mean_and_scale(x.features)
        z = standardise(x.features, mean, scale, np.float64)
        ridge = RidgeCV(alphas=_PENALTIES * z.shape[1], store_cv_results=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ill-conditioned sums where rows are few
            ridge.fit(z, y)
        at = int(np.argmin(np.abs(ridge.alphas - ridge.alpha_)))
        residuals = np.sqrt(ridge.cv_results_[:, at])
        cuts = np.unique(np.quantile(y, np.linspace(0, 1, _BINS + 1)[1:-1]))
        return cls(
            mean,
            scale,
            np.asarray(ridge.coef_, np.float64),
            float(ridge.intercept_),
            float(ridge.alpha_),
            np.sort(residuals),
            max(1.0, len(y) - 1 - _effective_parameters(z, float(ridge.alpha_))),
            float(np.std(y)),
            cuts,
            LabelledNeighbours.of(x.features, seed),
        )

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval of a number (split conformal); None with too few rows."""
        n = len(self.residuals)
        place = int(np.ceil((n + 1) * COVERAGE))
        return float(self.residuals[place - 1]) if place <= n else None

    def expected(self) -> tuple[float, float, float]:
        """(mean absolute error of left-out rows, and its 95 % interval).

        Student's t of the logarithm, with the degrees of freedom of the fit: left-out rows share
        all others, so that their errors vary together (benchmarks/records, kinds: of 30 rows of 16
        features a bootstrap held in 79 % of the draws).
        """
        from scipy.stats import t

        mean = float(self.residuals.mean())
        if len(self.residuals) < 2 or mean <= 0:
            return mean, 0.0 if mean > 0 else mean, float("inf") if mean > 0 else mean
        error = float(self.residuals.std(ddof=1)) / np.sqrt(self.freedom)
        factor = float(np.exp(t.ppf(0.975, self.freedom) * error / mean))
        return mean, mean / factor, mean * factor

    def announcement(self) -> list[str]:
        """Expected error, and what the intervals promise."""
        error, low, high = self.expected()
        explained = 1 - float((self.residuals**2).mean()) / self.spread**2
        lines = [
            f"Expected mean absolute error {error:.4g} (95 % interval {low:.4g} to {high:.4g}), "
            f"from {len(self.residuals):,} labelled images; {100 * explained:.0f} % of the "
            "variance is explained"
        ]
        half = self.half_width
        if half is None:
            lines.append(f"{len(self.residuals)} labelled images are too few for intervals")
        else:
            lines.append(f"{100 * COVERAGE:g} % of the numbers lie within {half:.4g} of theirs")
        return lines

    def as_json(self) -> dict[str, object]:
        """The same as JSON values."""
        error, low, high = self.expected()
        return {
            "expected_error": error,
            "low": low,
            "high": high,
            "half_width": self.half_width,
            "penalty": self.penalty,
        }

    def outcome(self, z: Embeddings) -> Outcome:
        """Numbers with their intervals."""
        step = max(1, 2**22 // z.d)
        values, far = [], []
        for start in range(0, len(z), step):
            x = np.asarray(z.features[start : start + step])
            values.append(((x - self.mean) / self.scale) @ self.weights + self.bias)
            far.append(self.neighbours.quantile(x))
        value, distance = np.concatenate(values), np.concatenate(far)
        half = np.nan if self.half_width is None else self.half_width
        ends = [float("-inf"), *self.cuts.tolist(), float("inf")]
        groups = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(ends)]
        return Outcome(
            {
                "value": value,
                "low": value - half,
                "high": value + half,
                "distance": distance,
                "far": LabelledNeighbours.far(distance),
            },
            [groups[k] for k in np.searchsorted(self.cuts, value)],
            -distance,
            [(f"{one:.4g}",) for one in value],
        )

    def state(self) -> tuple[dict[str, object], dict[str, NDArray[np.generic]]]:
        """JSON values and arrays that `restored` takes."""
        values = {
            "kind": "regression",
            "features": len(self.mean),
            "bias": self.bias,
            "penalty": self.penalty,
            "freedom": self.freedom,
            "spread": self.spread,
        }
        arrays = {
            name: getattr(self, name) for name in ("mean", "scale", "weights", "residuals", "cuts")
        }
        near = self.neighbours
        return values, arrays | {"neighbours": near.rows, "distances": near.distances}

    @classmethod
    def restored(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Regression:
        """What `state` gave."""
        d = int(values["features"])
        near = (len(arrays["distances"]), d)
        check_shapes(arrays, {"mean": (d,), "scale": (d,), "weights": (d,), "neighbours": near})
        return cls(
            arrays["mean"],
            arrays["scale"],
            arrays["weights"],
            float(values["bias"]),
            float(values["penalty"]),
            arrays["residuals"],
            # files of earlier versions do not have it
            float(values.get("freedom", len(arrays["residuals"]))),
            float(values["spread"]),
            arrays["cuts"],
            LabelledNeighbours(arrays["neighbours"], arrays["distances"]),
        )


def _effective_parameters(z: NDArray[np.floating], penalty: float) -> float:
    """The trace of the hat matrix of a ridge fit of standardised rows, without the intercept."""
    centred = z - z.mean(axis=0)
    n, d = centred.shape
    gram = centred @ centred.T if n < d else centred.T @ centred
    values = np.maximum(np.linalg.eigvalsh(gram), 0)
    return float((values / (values + penalty)).sum())
