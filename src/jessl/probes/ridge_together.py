"""The ridge probe of embeddings whose rows the processes of a group share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from jessl.core import collectives
from jessl.core.process_group import mark_reported, on_all_ranks
from jessl.embeddings import Embeddings
from jessl.probes.kinds.ridge import LeastSquares, candidates, class_sums, leave_one_out_of
from jessl.probes.linear import LinearProbe
from jessl.probes.standardize import CHUNK, StandardisedRows, column_sums, scale_of


@dataclass(frozen=True, eq=False)
class SharedRidge:
    """A ridge probe that all rows determined, equal on all processes.

    Attributes:
        probe: fitted with the best penalty.
        penalty: the one with the fewest errors of leave-one-out, the strongest of equals.
        left_out: penalty -> share of the training rows on which the fit without them is wrong.
        error: share of the test rows that are wrong; None without test rows.
        n_train, n_test: labelled rows.
    """

    probe: LinearProbe
    penalty: float
    left_out: dict[float, float]
    error: float | None
    n_train: int
    n_test: int


def ridge_together(
    train: Embeddings, test: Embeddings | None = None, *, penalty: float | None = None
) -> SharedRidge:
    """Fit a ridge probe, tune it by leave-one-out and test it; each process reads a share of rows.

    All processes call it. Exchanged are sums over rows alone: d + d + classes d + d^2 numbers in
    float64. Results equal those of one process up to the rounding of float64 sums.

    Example:
        ridge_together(Embeddings.load("train", mmap=True), Embeddings.load("test", mmap=True))

    Args:
        train: the same on all processes, labelled where labels are 0 or more, at least d rows;
            map its features (`mmap=True`), and a block of rows is in memory.
        test: labels mean the same classes.
        penalty: None: the best of the path.

    Raises:
        ValueError: for fewer labelled rows than features or classes below 2.
    """
    share = on_all_ranks(_labelled_share, train)
    y = share[1]
    d, highest = train.d, 0 if train.labels is None else int(train.labels.max(initial=-1)) + 1
    counts = _summed(np.bincount(y, minlength=highest).astype(float))
    every = np.flatnonzero(counts)
    n = int(counts.sum())
    if n < d or len(every) < 2:
        raise mark_reported(
            ValueError(
                f"train: expected at least {d} labelled rows (as many as features) of 2 classes, "
                f"got {n} of {len(every)}"
            )
        )
    mean = _summed(column_sums(share[0])) / n
    scale = scale_of(_summed(column_sums(share[0], mean)) / n, mean)
    rows = StandardisedRows(share[0], np.float64, by=(mean, scale))
    place = np.searchsorted(every, y)
    sums, gram = class_sums(rows, place, len(every), np.ones(len(y), bool))
    assert gram is not None
    solved = LeastSquares(counts[every], _summed(sums), _summed(gram))
    path = candidates({} if penalty is None else {"penalty": penalty})
    small = train.features.size <= 2**26
    wrong = leave_one_out_of(solved, rows, place, path, float64=small)
    errors = _summed(np.array([float(left_out.sum()) for _, left_out in wrong])) / n
    best = path[int(errors.argmin())]["penalty"]
    probe = LinearProbe(every, mean, scale, *solved.weights(best), True, False)
    error, n_test = (None, 0) if test is None else _error(probe, test)
    left_out = {one["penalty"]: float(e) for one, e in zip(path, errors, strict=True)}
    return SharedRidge(probe, best, left_out, error, n, n_test)


def _labelled_share(z: Embeddings) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """The labelled rows of this process: a map where all rows have labels, else a copy."""
    start, stop = (z.n * (collectives.rank() + k) // collectives.world() for k in (0, 1))
    if z.labels is None:
        return z.features[:0], np.empty(0, np.int64)
    labels = z.labels[start:stop]
    if (labels >= 0).all():
        return z.features[start:stop], labels
    return z.features[start:stop][labels >= 0], labels[labels >= 0]


def _error(probe: LinearProbe, test: Embeddings) -> tuple[float | None, int]:
    x, y = _labelled_share(test)
    wrong = 0
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        decided = probe.classes[probe.decision_function(x[part]).argmax(axis=1)]
        wrong += int((decided != y[part]).sum())
    total = _summed(np.array([wrong, len(y)], float))
    return (float(total[0] / total[1]) if total[1] else None), int(total[1])


def _summed(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over all processes."""
    whole: NDArray[np.float64] = collectives.all_reduce_sum(torch.from_numpy(array)).numpy()
    return whole
