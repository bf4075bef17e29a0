"""The kinds of probes: how each chooses its hyperparameters from training rows and how it fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jessl.probes import knn, logistic

Options = dict[str, Any]
Curve = dict[str, list[float]] | None


class Fitted(Protocol):
    """A probe after fitting."""

    @property
    def classes(self) -> NDArray[np.int64]:
        """Sorted labels of the columns of `votes`."""

    @property
    def converged(self) -> bool:
        """Whether the solver reached its tolerance."""

    def votes(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """[m, d] -> [m, classes], the largest is the prediction."""


@dataclass(frozen=True)
class Kind:
    """One kind of probe.

    Attributes:
        tune: (x, y, seed, what the user set) -> (all options, how they were chosen), from
            training rows alone.
        fit: (x, y, **options) -> a fitted probe.
        takes: the options a user can set.
        standardise: what happens to the features first, in words.
    """

    tune: Callable[[NDArray[Any], NDArray[np.int64], int, Options], tuple[Options, Curve]]
    fit: Callable[..., Fitted]
    takes: tuple[str, ...]
    standardise: str


def _tune_logistic(
    x: NDArray[Any], y: NDArray[np.int64], seed: int, given: Options
) -> tuple[Options, Curve]:
    if "C" in given:
        return {"C": positive("C", given["C"])}, None
    C, curve = logistic.choose(x, y, seed)
    return {"C": C}, curve


def _tune_knn(
    x: NDArray[Any], y: NDArray[np.int64], seed: int, given: Options
) -> tuple[Options, Curve]:
    k = given.get("k", knn.K)
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k: needs a whole number of at least 1, got {k}")
    return {
        "k": k,
        "temperature": positive("temperature", given.get("temperature", knn.TEMPERATURE)),
    }, None


def positive(argument: str, value: Any) -> float:
    """`value` as a float.

    Raises:
        ValueError: unless it is a finite number above 0.
    """
    if not (isinstance(value, (int, float)) and 0 < value < float("inf")):
        raise ValueError(f"{argument}: needs a finite number above 0, got {value}")
    return float(value)


def wrong(fitted: Fitted, x: NDArray[Any], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool [m]: the rows whose label is not the fitted probe's prediction."""
    return fitted.classes[fitted.votes(x).argmax(axis=1)] != y


KINDS: dict[str, Kind] = {
    "logistic": Kind(
        tune=_tune_logistic,
        fit=logistic.fit,
        takes=("C",),
        standardise="mean and standard deviation of the training rows",
    ),
    "knn": Kind(
        tune=_tune_knn, fit=knn.fit, takes=("k", "temperature"), standardise="rows to length 1"
    ),
}
