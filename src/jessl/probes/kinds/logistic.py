"""The linear probe: multinomial logistic regression on standardised features.

The minimum is scikit-learn's; the way there is shorter. L-BFGS runs on all sets of rows (the folds
of a cross-validation) at once, in coordinates in which the loss is about equally steep everywhere:
the principal axes, each divided by the root of its curvature at equal probabilities. Along the
path of penalties each fit starts from the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Fitted, Kind, Labels, Masks, Options, positive
from jessl.probes.lbfgs import Floats, minimise
from jessl.probes.linear import Linear
from jessl.probes.softmax import Softmax, TorchSoftmax
from jessl.probes.standardize import Axes, Rows, principal_axes

# strong to weak: each fit starts from the one before, and the path ends where the error rises
PATH = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MAX_ITERATIONS = 300
# of the mean loss a step, relative; and of the gradient in the even coordinates
_LEAST_GAIN = 1e-7
_LEAST_SLOPE = 1e-4
# below this many numbers everything is float64: it costs nothing there
_SMALL = 2**22


def candidates(given: Options) -> list[Options]:
    """The path of C, or the C that was set. scikit-learn's convention: C times the sum of the
    losses plus half the squared norm of the weights; the intercept is free."""
    if "C" in given:
        return [{"C": positive("C", given["C"])}]
    return [{"C": C} for C in PATH]


def fits(
    x: NDArray[Any],
    y: Labels,
    masks: Masks,
    candidates: Sequence[Options],
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[list[Fitted]]:
    """For each C the fits of all masks; standardised once, with all rows.

    Time of a pass over the features: 4 n d masks classes; memory: the standardised features up to
    2 GiB, a few chunks beyond; and 25 times the weights of all masks, float64 (the steps that
    L-BFGS remembers). The labels and rows outside of a mask have no influence on its
    fit but for the standardisation.
    """
    del seed  # nothing is drawn
    classes, place = np.unique(y, return_inverse=True)
    votes = len(y) * len(masks) * len(classes)
    small = max(x.size, votes) <= _SMALL and device == "cpu"
    rows = Rows(x, np.float64 if small else np.float32)
    axes = principal_axes(rows)
    if device == "cpu":
        loss = Softmax(rows, place, len(classes), masks)
    else:
        loss = TorchSoftmax(rows, place, len(classes), masks, device)
    problem = _Problem(loss, axes)
    for options in candidates:
        weights, bias, converged = problem.solve(options["C"])
        found: list[Fitted] = []
        for k, present in enumerate(loss.present):
            kept = weights[:, k, present], bias[k, present]
            settled = bool(converged[k])
            found.append(Linear(classes[present], rows.mean, rows.scale, *kept, settled, True))
        yield found


class _Problem:
    """The sum of the penalised losses of all sets, in even coordinates."""

    def __init__(self, loss: Softmax, axes: Axes) -> None:
        self.loss, self.axes = loss, axes
        sets, classes = loss.present.shape
        self.w = np.zeros((axes.basis.shape[1], sets, classes))
        self.b = np.zeros((sets, classes))
        # of two classes scikit-learn penalises the difference of the logits' weights
        self.factor = np.where(loss.present.sum(axis=1) == 2, 2.0, 1.0)

    def solve(self, C: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """(weights [d, sets, classes], bias [sets, classes], converged [sets])."""
        r, sets, classes = self.w.shape
        penalty = self.factor / (C * self.loss.counts)
        curvature = (1 - 1 / classes) / classes
        even = 1 / np.sqrt(curvature * self.axes.variances + penalty[:, None])
        level = 1 / np.sqrt(curvature)

        def value_and_slope(v: Floats, at: NDArray[np.intp]) -> tuple[Floats, Floats]:
            scale = even[at].T[:, :, None]
            w = v[:, : r * classes].reshape(-1, r, classes).swapaxes(0, 1) * scale
            b = v[:, r * classes :] * level
            losses, by_weight, by_bias = self.loss(self._turned(w), b, at)
            pull = penalty[at][:, None]
            slope = (self._back(by_weight) + pull * w) * scale
            value = losses + 0.5 * (pull * w**2).sum(axis=(0, 2))
            flat = slope.swapaxes(0, 1).reshape(len(at), -1)
            return value, np.concatenate([flat, by_bias * level], axis=1)

        start = (self.w / even.T[:, :, None]).swapaxes(0, 1).reshape(sets, -1)
        v, converged = minimise(
            value_and_slope,
            np.concatenate([start, self.b / level], axis=1),
            most_iterations=MAX_ITERATIONS,
            least_slope=_LEAST_SLOPE,
            least_gain=_LEAST_GAIN,
        )
        self.w = v[:, : r * classes].reshape(sets, r, classes).swapaxes(0, 1)
        self.w = self.w * even.T[:, :, None]
        self.b = v[:, r * classes :] * level
        return self._turned(self.w), self.b.copy(), converged

    def _turned(self, w: Floats) -> Floats:
        r, sets, classes = w.shape
        return (self.axes.basis @ w.reshape(r, -1)).reshape(-1, sets, classes)

    def _back(self, slope: Floats) -> Floats:
        d, sets, classes = slope.shape
        return (self.axes.basis.T @ slope.reshape(d, -1)).reshape(-1, sets, classes)


KIND = Kind(
    takes=("C",),
    candidates=candidates,
    fits=fits,
    standardise="mean and standard deviation of the training rows",
    tuning="folds",
    untuned={"C": 1.0},
)
