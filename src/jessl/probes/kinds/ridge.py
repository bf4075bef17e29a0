"""The ridge probe: least squares on one-hot labels, all penalties from one eigendecomposition.

It is a point or two less accurate than the logistic probe. For every penalty it has the predictions
of the n probes that each leave out one row, in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import (
    Features,
    FitRequest,
    FittedProbe,
    Labels,
    Options,
    ProbeKind,
    check_positive,
)
from jessl.probes.linear import LinearProbe
from jessl.probes.standardize import CHUNK, StandardisedRows

# strong to weak, in units of the mean square of a standardised feature
PATH = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5)
# below this many numbers predictions are float64; sums and eigenvalues always are
_SMALL = 2**26
_ENTRIES = 2**23


def candidates(options: Mapping[str, object]) -> list[Options]:
    """The path of penalties, or the one that was set.

    The probe minimises the mean over rows of the squared error plus `penalty` times the squared
    norm of the weights; the intercept is free.
    """
    if "penalty" in options:
        return [{"penalty": check_positive("penalty", options["penalty"])}]
    return [{"penalty": penalty} for penalty in PATH]


def fit_path(request: FitRequest) -> Iterator[list[FittedProbe]]:
    """For each penalty the fits of all masks; standardised once, with all rows.

    Time n d^2 and d^3 a mask, whatever the number of penalties (for n < d: d n^2); memory d^2 a
    mask. Sums are float64, always on the CPU, as GPUs are slow in float64; the seed is not used.
    """
    every, place = np.unique(request.y, return_inverse=True)
    rows = StandardisedRows(request.x, np.float64)
    solved = [LeastSquares.of_rows(rows, place, len(every), mask) for mask in request.masks]
    for options in request.candidates:
        probes: list[FittedProbe] = []
        for one in solved:
            weights, bias = one.weights(options["penalty"])
            present = one.counts > 0
            fit = weights[:, present], bias[present]
            probes.append(LinearProbe(every[present], rows.mean, rows.scale, *fit, True, False))
        yield probes


class LeastSquares:
    """Least squares of some rows, ready for every penalty.

    Args:
        counts: float64 [classes], rows of each class.
        sums: float64 [classes, d], sums of their standardised rows.
        gram: float64 [d, d], their inner products; changed. None: `few` holds the rows.
        few: float64 [n, d] with n < d.
    """

    def __init__(
        self,
        counts: NDArray[np.float64],
        sums: NDArray[np.float64],
        gram: NDArray[np.float64] | None,
        few: NDArray[np.floating] | None = None,
    ) -> None:
        self.n = int(counts.sum())
        self.counts = counts
        self.centre = sums.sum(axis=0) / self.n
        self.share = self.counts / self.n
        # centred rows times centred labels
        self._cross = (sums - self.counts[:, None] * self.centre).T
        if gram is not None:
            gram -= self.n * np.outer(self.centre, self.centre)
            self.values, self.basis = np.linalg.eigh(gram)
            self.values = np.maximum(self.values, 0.0)
        else:
            assert few is not None
            # all rows lie in the span of n vectors
            _, s, self.basis = np.linalg.svd(few - self.centre, full_matrices=False)
            self.values, self.basis = s**2, self.basis.T
        self._cross = self.basis.T @ self._cross

    @classmethod
    def of_rows(
        cls, rows: StandardisedRows, place: NDArray[np.intp], classes: int, mask: NDArray[np.bool_]
    ) -> LeastSquares:
        """Of the rows of a mask; place: the index of each row's class."""
        counts = np.bincount(place[mask], minlength=classes).astype(float)
        few = counts.sum() < rows.shape[1]
        z_few = np.concatenate([z[mask[part]] for part, z in rows.chunks(CHUNK)]) if few else None
        sums, gram = class_sums(rows, place, classes, mask, with_gram=not few)
        return cls(counts, sums, gram, z_few)

    def weights(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(weights [d, classes], bias [classes])."""
        w = self.basis @ (self._cross / (self.values + penalty * self.n)[:, None])
        return w, self.share - self.centre @ w


def leave_one_out(
    x: Features, y: Labels, candidates: Sequence[Options]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each penalty: is the fit of all rows wrong on each row, is the fit without that row.

    Exact (float64 up to 2^26 features, float32 beyond): without row i the decision values v
    become (v - h y) / (1 - h), h = 1 / n + z (Z'Z + penalty n)^-1 z the leverage of the row (the
    penalty is that of n rows, and the standardisation that of all).
    Time: n d^2 once, n d classes a penalty; memory: a chunk, d^2, and d classes a penalty.
    """
    every, place = np.unique(y, return_inverse=True)
    rows = StandardisedRows(x, np.float64)
    solved = LeastSquares.of_rows(rows, place, len(every), np.ones(len(y), bool))
    return leave_one_out_of(solved, rows, place, candidates, float64=x.size <= _SMALL)


def leave_one_out_of(
    solved: LeastSquares,
    rows: StandardisedRows,
    place: NDArray[np.intp],
    candidates: Sequence[Options],
    *,
    float64: bool,
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """`leave_one_out` for some of the rows of a solved problem; place: [rows] of their classes."""
    n, classes = solved.n, len(solved.counts)
    dtype: np.dtype[np.floating] = np.dtype(np.float64 if float64 else np.float32)
    basis = solved.basis.astype(dtype)
    paths = []
    for options in candidates:
        penalty = options["penalty"]
        weights, bias = (part.astype(dtype) for part in solved.weights(penalty))
        inverse = (1 / (solved.values + penalty * n)).astype(dtype)
        fitted, left_out = np.empty(len(rows), bool), np.empty(len(rows), bool)
        paths.append((weights, bias, inverse, fitted, left_out))
    for part, z64 in rows.chunks(max(64, _ENTRIES // max(classes, rows.shape[1]))):
        z = z64.astype(dtype, copy=False)
        square = ((z - solved.centre.astype(dtype)) @ basis) ** 2
        at = place[part]
        row = np.arange(len(z))
        for weights, bias, inverse, wrong_fitted, wrong_left_out in paths:
            decision = z @ weights
            decision += bias
            leverage = 1 / n + square @ inverse
            own = decision[row, at].copy()
            decision[row, at] = -np.inf
            rival = decision.argmax(axis=1)
            ahead = decision[row, rival]
            for own_value, wrong in ((own, wrong_fitted), (own - leverage, wrong_left_out)):
                # ties go to the smaller label
                wrong[part] = (own_value < ahead) | ((own_value == ahead) & (rival < at))
    return [(wrong_fitted, wrong_left_out) for *_, wrong_fitted, wrong_left_out in paths]


def class_sums(
    rows: StandardisedRows,
    place: NDArray[np.intp],
    classes: int,
    mask: NDArray[np.bool_],
    *,
    with_gram: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Of the rows of a mask: sums of each class [classes, d], and inner products [d, d]."""
    d = rows.shape[1]
    sums = np.zeros((classes, d))
    gram = np.zeros((d, d)) if with_gram else None
    for part, z in rows.chunks(CHUNK):
        inside = mask[part]
        z = z if inside.all() else z[inside]
        _add_by_class(sums, z, place[part][inside])
        if gram is not None:
            gram += z.T @ z
    return sums, gram


def _add_by_class(
    sums: NDArray[np.float64], z: NDArray[np.floating], place: NDArray[np.intp]
) -> None:
    """Add the rows to the sums of their classes; time n d."""
    if not len(z):
        return
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sums[ordered[first]] += np.add.reduceat(z[order], first, axis=0)


KIND = ProbeKind(
    option_names=("penalty",),
    candidates=candidates,
    fit_path=fit_path,
    standardisation="mean and standard deviation of the training rows",
    default_tuning="leave-one-out",
    fallback_options={"penalty": 0.1},
    leave_one_out=leave_one_out,
)
