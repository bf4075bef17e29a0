"""The linear probe: multinomial logistic regression on standardised features.

The minimum is the same as scikit-learn's, reached faster. L-BFGS runs on all sets of rows (the
folds of a cross-validation) at once, in coordinates in which the loss has similar curvature in all
directions: the principal axes, each divided by the square root of its curvature at equal
probabilities. Along the path of penalties each fit starts from the previous one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import (
    FitRequest,
    FittedProbe,
    Options,
    ProbeKind,
    check_positive,
)
from jessl.probes.lbfgs import Floats, minimise
from jessl.probes.linear import LinearProbe
from jessl.probes.softmax import SoftmaxLoss, TorchSoftmaxLoss
from jessl.probes.standardize import PrincipalAxes, StandardisedRows, principal_axes

# strong to weak: each fit starts from the previous one; tuning ends the path where errors rise
PATH = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MAX_ITERATIONS = 300
# relative decrease of the mean loss per step; largest entry of the rescaled gradient
_LEAST_GAIN = 1e-7
_LEAST_SLOPE = 1e-4
# below this many numbers everything is float64, at no noticeable cost
_SMALL = 2**22


def candidates(options: Mapping[str, object]) -> list[Options]:
    """The path of C, or the C that was set.

    scikit-learn's convention: the probe minimises C times the sum of the losses plus half the
    squared norm of the weights; the intercept is free.
    """
    if "C" in options:
        return [{"C": check_positive("C", options["C"])}]
    return [{"C": C} for C in PATH]


def fit_path(request: FitRequest) -> Iterator[list[FittedProbe]]:
    """For each C the fits of all masks; standardised once, with all rows.

    Time of a pass over the features: 4 n d masks classes. Memory: the standardised features up to
    2 GiB, a few chunks beyond, and 25 times the weights of all masks in float64 (the history of
    L-BFGS). Rows outside a mask influence its fit only through the standardisation. The seed is
    not used.
    """
    masks, device = request.masks, request.device
    classes, place = np.unique(request.y, return_inverse=True)
    logits = len(request.y) * len(masks) * len(classes)
    small = max(request.x.size, logits) <= _SMALL and device == "cpu"
    rows = StandardisedRows(request.x, np.float64 if small else np.float32)
    axes = principal_axes(rows)
    if device == "cpu":
        loss = SoftmaxLoss(rows, place, len(classes), masks)
    else:
        loss = TorchSoftmaxLoss(rows, place, len(classes), masks, device)
    problem = _PenalisedLoss(loss, axes)
    for options in request.candidates:
        weights, bias, converged = problem.solve(options["C"])
        probes: list[FittedProbe] = []
        for k, present in enumerate(loss.present):
            fit = weights[:, k, present], bias[k, present]
            done = bool(converged[k])
            probes.append(LinearProbe(classes[present], rows.mean, rows.scale, *fit, done, True))
        yield probes


class _PenalisedLoss:
    """The sum of the penalised losses of all sets, in rescaled coordinates."""

    def __init__(self, loss: SoftmaxLoss, axes: PrincipalAxes) -> None:
        self.loss, self.axes = loss, axes
        sets, classes = loss.present.shape
        self.w = np.zeros((axes.basis.shape[1], sets, classes))
        self.b = np.zeros((sets, classes))
        # for two classes scikit-learn penalises the difference of the logits' weights
        self.factor = np.where(loss.present.sum(axis=1) == 2, 2.0, 1.0)

    def solve(self, C: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """(weights [d, sets, classes], bias [sets, classes], converged [sets])."""
        r, sets, classes = self.w.shape
        penalty = self.factor / (C * self.loss.counts)
        curvature = (1 - 1 / classes) / classes
        scales = 1 / np.sqrt(curvature * self.axes.variances + penalty[:, None])
        level = 1 / np.sqrt(curvature)

        def value_and_slope(v: Floats, at: NDArray[np.intp]) -> tuple[Floats, Floats]:
            scale = scales[at].T[:, :, None]
            w = v[:, : r * classes].reshape(-1, r, classes).swapaxes(0, 1) * scale
            b = v[:, r * classes :] * level
            losses, by_weight, by_bias = self.loss(self._to_features(w), b, at)
            strength = penalty[at][:, None]
            slope = (self._to_axes(by_weight) + strength * w) * scale
            value = losses + 0.5 * (strength * w**2).sum(axis=(0, 2))
            flat = slope.swapaxes(0, 1).reshape(len(at), -1)
            return value, np.concatenate([flat, by_bias * level], axis=1)

        start = (self.w / scales.T[:, :, None]).swapaxes(0, 1).reshape(sets, -1)
        v, converged = minimise(
            value_and_slope,
            np.concatenate([start, self.b / level], axis=1),
            most_iterations=MAX_ITERATIONS,
            least_slope=_LEAST_SLOPE,
            least_gain=_LEAST_GAIN,
        )
        self.w = v[:, : r * classes].reshape(sets, r, classes).swapaxes(0, 1)
        self.w = self.w * scales.T[:, :, None]
        self.b = v[:, r * classes :] * level
        return self._to_features(self.w), self.b.copy(), converged

    def _to_features(self, w: Floats) -> Floats:
        r, sets, classes = w.shape
        return (self.axes.basis @ w.reshape(r, -1)).reshape(-1, sets, classes)

    def _to_axes(self, slope: Floats) -> Floats:
        d, sets, classes = slope.shape
        return (self.axes.basis.T @ slope.reshape(d, -1)).reshape(-1, sets, classes)


KIND = ProbeKind(
    option_names=("C",),
    candidates=candidates,
    fit_path=fit_path,
    standardisation="mean and standard deviation of the training rows",
    default_tuning="folds",
    fallback_options={"C": 1.0},
)
