"""What a kind of probe defines: its options, and how it is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Options = dict[str, Any]
Features = NDArray[np.floating]
Labels = NDArray[np.int64]
Masks = Sequence[NDArray[np.bool_]]


class FittedProbe(Protocol):
    """A probe after fitting."""

    @property
    def classes(self) -> Labels:
        """Sorted labels of the columns of `decision_function`."""

    @property
    def converged(self) -> bool:
        """Whether the solver reached its tolerance."""

    @property
    def probabilistic(self) -> bool:
        """Whether the log-softmax of `decision_function` gives log-probabilities."""

    @property
    def counts_votes(self) -> bool:
        """Whether an entry of 0 in `decision_function` says that nothing speaks for a class."""

    @property
    def details(self) -> Options:
        """Options without a fixed value that were determined while fitting."""

    def decision_function(self, x: Features) -> Features:
        """[m, d] -> [m, classes]; the largest entry of a row is the prediction."""


@dataclass(frozen=True, eq=False)
class FitRequest:
    """Fits on several sets of rows, along a path of hyperparameters.

    Attributes:
        x: [n, d] features, finite; possibly a memory map.
        y: [n] labels, any whole numbers.
        masks: bool [n] each, the rows to fit on; each holds rows of at least one class.
        candidates: complete options, strongest regularisation first.
        seed: of everything random.
        device: "cpu", "cuda" or "cuda:N".
    """

    x: Features
    y: Labels
    masks: Masks
    candidates: Sequence[Options]
    seed: int = 0
    device: str = "cpu"

    @classmethod
    def of_all_rows(
        cls, x: Features, y: Labels, candidates: Sequence[Options], seed: int, device: str
    ) -> FitRequest:
        """Fits on all rows."""
        return cls(x, y, [np.ones(len(y), bool)], candidates, seed, device)


# for each candidate in order the fits of all masks
FitPath = Callable[[FitRequest], Iterator[list[FittedProbe]]]


@dataclass(frozen=True)
class Evaluation:
    """Predictions of fitted probes for rows, compared with their labels.

    Attributes:
        wrong: bool [n]: whether the prediction differs from the label.
        loss: float64 [n]: minus the log-probability of the label (nats); None where the probe
            gives no probabilities.
        top5: bool [n]: whether the label is among the five likeliest; None where not computed.
    """

    wrong: NDArray[np.bool_]
    loss: NDArray[np.float64] | None
    top5: NDArray[np.bool_] | None = None


# (x, y, candidates) -> for each candidate, bool [n] each: is the fit of all rows wrong on a row, is
# the fit without that row wrong on it
LeaveOneOut = Callable[
    [Features, Labels, Sequence[Options]], list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]
]


@dataclass(frozen=True)
class ProbeKind:
    """One kind of probe, which a file of `kinds/` defines as `KIND`.

    Attributes:
        option_names: the options that a user can set.
        candidates: options that the user set -> the path of complete options; a single one where
            there is nothing to choose. Raises ValueError for values out of range.
        fit_path: FitRequest -> for each candidate the fits of all masks.
        standardisation: how features are standardised first, in words.
        default_tuning: how hyperparameters are chosen by default.
        fallback_options: hyperparameters where there are too few rows to choose them.
        leave_one_out: errors of the fits without one row each, where they have a closed form.
        memorises_training_rows: whether a training row always gets its own label, so that the
            training error carries no information.
    """

    option_names: tuple[str, ...]
    candidates: Callable[[Mapping[str, Any]], list[Options]]
    fit_path: FitPath
    standardisation: str
    default_tuning: str
    fallback_options: Options
    leave_one_out: LeaveOneOut | None = None
    memorises_training_rows: bool = False


def check_positive(argument: str, value: object) -> float:
    """`value` as a float.

    Raises:
        ValueError: unless it is a finite number above 0.
    """
    if isinstance(value, Real) and not isinstance(value, (bool, np.bool_)):
        number = float(value)
        if 0 < number < np.inf:
            return number
    raise ValueError(f"{argument}: expected a finite number above 0, got {value}")


def check_device(device: object) -> str:
    """`device` where it exists.

    Raises:
        ValueError: for anything but cpu, cuda and cuda:N, and for a GPU that does not exist.
    """
    if device == "cpu":
        return "cpu"
    name, _, number = str(device).partition(":")
    if name not in ("cpu", "cuda") or not (number.isdigit() or device == name):
        raise ValueError(f"device: expected cpu, cuda or cuda:N, got {device!r}")
    import torch

    count = torch.cuda.device_count() if name == "cuda" else 1
    if int(number or 0) >= count:
        raise ValueError(f"device: expected one of the {count} {name} devices, got {device}")
    return str(device)


# entries of the decision function, or of features, that are held at a time
_ENTRIES = 2**22


def evaluate(probe: FittedProbe, x: Features, y: Labels) -> Evaluation:
    """Predictions for rows [m, d] against labels [m]; a label unknown to the probe is an error.

    Ties go to the smallest label. The loss of an unknown label is that of a probability of zero,
    kept finite: -log 1e-12. Memory beside the result: a few arrays of 2^22 entries in float64
    (32 MiB each).
    """
    classes = probe.classes
    place = np.searchsorted(classes, y)
    known = place < len(classes)
    known[known] = classes[place[known]] == y[known]
    wrong = np.ones(len(y), bool)
    top5 = np.zeros(len(y), bool)
    loss = np.full(len(y), UNKNOWN_CLASS_LOSS) if probe.probabilistic else None
    step = max(1, _ENTRIES // max(len(classes), x.shape[1]))
    for start in range(0, len(y), step):
        part = slice(start, min(start + step, len(y)))
        decision = probe.decision_function(x[part])
        ok = known[part]
        at = np.where(ok, place[part], 0)
        own = np.take_along_axis(decision, at[:, None], axis=1)
        wrong[part] = ~ok | (decision.argmax(axis=1) != at)
        # ties go to the smaller label, as in argmax
        ahead = (decision > own).sum(axis=1)
        ahead += ((decision == own) & (np.arange(len(classes)) < at[:, None])).sum(axis=1)
        # classes without votes are not among the likeliest, however few have some
        top5[part] = ok & (ahead < 5) & (not probe.counts_votes or own[:, 0] > 0)
        if loss is not None:
            most = decision.max(axis=1, keepdims=True).astype(np.float64)
            log_sum = np.log(np.exp(decision - most).sum(axis=1)) + most[:, 0]
            part_loss = np.minimum(log_sum - own[:, 0], UNKNOWN_CLASS_LOSS)
            loss[part] = np.where(ok, part_loss, UNKNOWN_CLASS_LOSS)
    return Evaluation(wrong, loss, top5)


# nats; a probability of 1e-12
UNKNOWN_CLASS_LOSS = 12 * float(np.log(10.0))
