"""The kinds of probes: which hyperparameters each can have, and how it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Options = dict[str, Any]
Labels = NDArray[np.int64]
Masks = Sequence[NDArray[np.bool_]]


class Fitted(Protocol):
    """A probe after fitting."""

    @property
    def classes(self) -> Labels:
        """Sorted labels of the columns of `votes`."""

    @property
    def converged(self) -> bool:
        """Whether the solver reached its tolerance."""

    @property
    def probabilistic(self) -> bool:
        """Whether the log-softmax of the votes are log-probabilities."""

    @property
    def details(self) -> Options:
        """Options that were left open and settled while fitting."""

    def votes(self, x: NDArray[Any]) -> NDArray[Any]:
        """[m, d] -> [m, classes], the largest is the prediction."""


class Fits(Protocol):
    """Fit on several sets of rows, along a path of hyperparameters."""

    def __call__(
        self,
        x: NDArray[Any],
        y: Labels,
        masks: Masks,
        candidates: Sequence[Options],
        seed: int,
        device: str,
    ) -> Iterator[list[Fitted]]:
        """For each candidate in order the fits of all masks.

        Args:
            x: [n, d] features, finite; possibly a memory map.
            y: [n] labels of any whole numbers.
            masks: bool [n] each, the rows to fit on; each has rows of at least one class.
            candidates: complete options, strongest regularisation first.
            seed: of what is random.
            device: "cpu", "cuda" or "cuda:N".
        """


@dataclass(frozen=True)
class Evaluation:
    """What fits say of rows, one after another.

    Attributes:
        wrong: bool [n]: whether the prediction is not the label.
        loss: float64 [n]: minus the log-probability of the label (nats); None where the probe
            gives no probabilities.
        top5: bool [n]: whether the label is among the five likeliest; None where not asked.
    """

    wrong: NDArray[np.bool_]
    loss: NDArray[np.float64] | None
    top5: NDArray[np.bool_] | None = None


# (x, y, candidates) -> for each candidate: is the full fit wrong on each row, is the one without it
LeaveOneOut = Callable[
    [NDArray[Any], Labels, Sequence[Options]], list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]
]


@dataclass(frozen=True)
class Kind:
    """One kind of probe.

    Attributes:
        takes: the options a user can set.
        candidates: the path of complete options, given what the user set; one where nothing is
            to choose. Raises ValueError for values that are not allowed.
        fits: see `Fits`.
        standardise: what happens to the features first, in words.
        tuning: how hyperparameters are chosen when nothing is asked for.
        untuned: what is taken where there are too few rows to choose by.
        leave_one_out: errors of all fits without one row, where they have a closed form.
        knows_its_rows: whether a training row gets its own label whatever the features are, so
            that its training error says nothing.
    """

    takes: tuple[str, ...]
    candidates: Callable[[Options], list[Options]]
    fits: Fits
    standardise: str
    tuning: str
    untuned: Options
    leave_one_out: LeaveOneOut | None = None
    knows_its_rows: bool = False


def positive(argument: str, value: Any) -> float:
    """`value` as a float.

    Raises:
        ValueError: unless it is a finite number above 0.
    """
    number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if not number or not 0 < float(value) < np.inf:
        raise ValueError(f"{argument}: needs a finite number above 0, got {value}")
    return float(value)


def checked_device(device: Any) -> str:
    """`device` where there is one of that name.

    Raises:
        ValueError: for anything but cpu, cuda and cuda:N, and for a GPU that is not there.
    """
    if device == "cpu":
        return "cpu"
    name, _, number = str(device).partition(":")
    if name not in ("cpu", "cuda") or not (number.isdigit() or device == name):
        raise ValueError(f"device: cpu, cuda or cuda:N wanted, {device!r} came")
    import torch

    there = torch.cuda.device_count() if name == "cuda" else 1
    if int(number or 0) >= there:
        raise ValueError(f"device: {device} is not here; torch sees {there} of {name}")
    return str(device)


# entries of a matrix of votes, or of features, that are held at a time
_ENTRIES = 2**22


def evaluate(fitted: Fitted, x: NDArray[Any], y: Labels) -> Evaluation:
    """What a fit says of rows [m, d] with labels [m]; a label that it does not know is an error.

    Equal votes go to the smallest label. The loss of an unknown label is that of a probability
    of zero, kept finite: -log 1e-12. Memory beside the result: a few arrays of 2^22 votes or
    features in float64 (32 MiB each).
    """
    classes = fitted.classes
    place = np.searchsorted(classes, y)
    known = place < len(classes)
    known[known] = classes[place[known]] == y[known]
    wrong = np.ones(len(y), bool)
    top5 = np.zeros(len(y), bool)
    loss = np.full(len(y), UNKNOWN_LOSS) if fitted.probabilistic else None
    step = max(1, _ENTRIES // max(len(classes), x.shape[1]))
    for start in range(0, len(y), step):
        part = slice(start, min(start + step, len(y)))
        votes = fitted.votes(x[part])
        ok = known[part]
        at = np.where(ok, place[part], 0)
        own = np.take_along_axis(votes, at[:, None], axis=1)
        wrong[part] = ~ok | (votes.argmax(axis=1) != at)
        # equal votes go to the smaller label, as in argmax
        ahead = (votes > own).sum(axis=1)
        ahead += ((votes == own) & (np.arange(len(classes)) < at[:, None])).sum(axis=1)
        top5[part] = ok & (ahead < 5)
        if loss is not None:
            most = votes.max(axis=1, keepdims=True).astype(np.float64)
            log_sum = np.log(np.exp(votes - most).sum(axis=1)) + most[:, 0]
            found = np.minimum(log_sum - own[:, 0], UNKNOWN_LOSS)
            loss[part] = np.where(ok, found, UNKNOWN_LOSS)
    return Evaluation(wrong, loss, top5)


# nats; a probability of 1e-12
UNKNOWN_LOSS = 12 * float(np.log(10.0))
