"""The ridge probe: least squares on one-hot labels, all penalties from one eigendecomposition.

It is a point or two less accurate than the logistic probe, and gives for every penalty the
predictions of n probes that each lack one row, in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Fitted, Kind, Labels, Masks, Options, positive
from jessl.probes.linear import Linear
from jessl.probes.standardize import CHUNK, Rows

# strong to weak, in units of the mean square of a standardised feature
PATH = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5)
# below this many numbers predictions are float64, too; sums and eigenvalues always are
_SMALL = 2**26
_ENTRIES = 2**23


def candidates(given: Options) -> list[Options]:
    """The path of penalties, or the one that was set: the mean over rows of the squared error
    plus `penalty` times the squared norm of the weights is least; the intercept is free."""
    if "penalty" in given:
        return [{"penalty": positive("penalty", given["penalty"])}]
    return [{"penalty": penalty} for penalty in PATH]


def fits(
    x: NDArray[Any],
    y: Labels,
    masks: Masks,
    candidates: Sequence[Options],
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[list[Fitted]]:
    """For each penalty the fits of all masks; standardised once, with all rows.

    Time n d^2 and d^3 a mask, whatever the number of penalties (for n < d: d n^2); memory d^2 a
    mask. Sums are float64; `device` is the CPU's whatever is asked for.
    """
    del seed, device  # nothing is drawn, and a GPU has little float64
    every, place = np.unique(y, return_inverse=True)
    rows = Rows(x, np.float64)
    solved = [_Solved(rows, place, len(every), mask) for mask in masks]
    for options in candidates:
        found: list[Fitted] = []
        for one in solved:
            weights, bias = one.weights(options["penalty"])
            kept = one.counts > 0
            fit = weights[:, kept], bias[kept]
            found.append(Linear(every[kept], rows.mean, rows.scale, *fit, True, False))
        yield found


class _Solved:
    """Least squares of the rows of a mask, ready for every penalty."""

    def __init__(
        self, rows: Rows, place: NDArray[np.intp], classes: int, mask: NDArray[np.bool_]
    ) -> None:
        self.n = int(mask.sum())
        d = rows.shape[1]
        self.counts = np.bincount(place[mask], minlength=classes).astype(float)
        sums = np.zeros((classes, d))
        few = self.n < d
        z_few = np.concatenate([z[mask[part]] for part, z in rows.chunks(CHUNK)]) if few else None
        gram = np.zeros((0 if few else d,) * 2)
        for part, z in rows.chunks(CHUNK):
            kept = mask[part]
            z = z if kept.all() else z[kept]
            _add_by_class(sums, z, place[part][kept])
            if not few:
                gram += z.T @ z
        self.centre = sums.sum(axis=0) / self.n
        self.share = self.counts / self.n
        # centred rows times centred labels
        self._cross = (sums - self.counts[:, None] * self.centre).T
        if z_few is None:
            gram -= self.n * np.outer(self.centre, self.centre)
            self.values, self.basis = np.linalg.eigh(gram)
            self.values = np.maximum(self.values, 0.0)
        else:
            # all rows lie in the span of n vectors
            _, s, self.basis = np.linalg.svd(z_few - self.centre, full_matrices=False)
            self.values, self.basis = s**2, self.basis.T
        self._cross = self.basis.T @ self._cross

    def weights(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(weights [d, classes], bias [classes])."""
        w = self.basis @ (self._cross / (self.values + penalty * self.n)[:, None])
        return w, self.share - self.centre @ w


def leave_one_out(
    x: NDArray[Any], y: Labels, candidates: Sequence[Options]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each penalty: whether the fit of all rows is wrong on each row, and the fit without it.

    Exact (votes in float64 up to 2^26 features, in float32 beyond): without row i the votes are
    (votes - h y) / (1 - h), h = 1 / n + z (Z'Z + penalty n)^-1 z the leverage of the row (the
    penalty is that of n rows, and the standardisation that of all).
    Time: n d^2 once, n d classes a penalty; memory: a chunk, d^2, and d classes a penalty.
    """
    every, place = np.unique(y, return_inverse=True)
    rows = Rows(x, np.float64)
    solved = _Solved(rows, place, len(every), np.ones(len(y), bool))
    n = solved.n
    dtype: Any = np.float64 if x.size <= _SMALL else np.float32
    basis = solved.basis.astype(dtype)
    found = []
    for options in candidates:
        penalty = options["penalty"]
        weights, bias = (part.astype(dtype) for part in solved.weights(penalty))
        pull = (1 / (solved.values + penalty * n)).astype(dtype)
        found.append((weights, bias, pull, np.empty(n, bool), np.empty(n, bool)))
    for part, z64 in rows.chunks(max(64, _ENTRIES // max(len(every), x.shape[1]))):
        z = z64.astype(dtype, copy=False)
        square = ((z - solved.centre.astype(dtype)) @ basis) ** 2
        at = place[part]
        row = np.arange(len(z))
        for weights, bias, pull, seen, unseen in found:
            votes = z @ weights
            votes += bias
            leverage = 1 / n + square @ pull
            own = votes[row, at].copy()
            votes[row, at] = -np.inf
            rival = votes.argmax(axis=1)
            ahead = votes[row, rival]
            for own_vote, wrong in ((own, seen), (own - leverage, unseen)):
                # equal votes go to the smaller label
                wrong[part] = (own_vote < ahead) | ((own_vote == ahead) & (rival < at))
    return [(seen, unseen) for *_, seen, unseen in found]


def _add_by_class(sums: NDArray[np.float64], z: NDArray[Any], place: NDArray[np.intp]) -> None:
    """Add the rows to the sums of their classes; time n d."""
    if not len(z):
        return
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sums[ordered[first]] += np.add.reduceat(z[order], first, axis=0)


KIND = Kind(
    takes=("penalty",),
    candidates=candidates,
    fits=fits,
    standardise="mean and standard deviation of the training rows",
    tuning="leave-one-out",
    untuned={"penalty": 0.1},
    leave_one_out=leave_one_out,
)
