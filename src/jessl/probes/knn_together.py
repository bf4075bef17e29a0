"""The nearest-neighbour probe of embeddings whose rows the processes of a group share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jessl.core import collectives
from jessl.core.process_group import mark_reported, on_all_ranks
from jessl.embeddings import Embeddings
from jessl.probes.kinds import knn
from jessl.probes.kinds.knn import NeighbourProbe, nearest_of

# cosines and classes of all processes that are held at a time: 12 bytes each
_ENTRIES = 2**24
# test rows of a block where few processes share the training rows
_ROWS = 16_384
_NOT_FINITE = "{}: expected finite features, got NaN or infinite values in labelled rows"


@dataclass(frozen=True, eq=False)
class SharedNeighbours:
    """A nearest-neighbour probe of all training rows, equal on all processes.

    Attributes:
        k: the neighbours that vote.
        temperature: of their votes.
        error: share of the test rows that are wrong.
        predictions: the class of each labelled test row, in their order.
        n_train, n_test: labelled rows.
    """

    k: int
    temperature: float
    error: float
    predictions: NDArray[np.int64]
    n_train: int
    n_test: int


@dataclass(frozen=True, eq=False)
class _SharedProbe(NeighbourProbe):
    """The probe of one process, which searches its own rows; all processes call it together.

    Attributes:
        n: training rows of all processes.
    """

    n: int = 0

    @property
    def rows(self) -> int:
        """The number of training rows of all processes."""
        return self.n

    def _nearest(
        self, z: Any, keep: int, *search: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        near, place = super()._nearest(z, keep, *search)
        near, place = (
            collectives.gather(torch.from_numpy(part), dim=1).numpy() for part in (near, place)
        )
        return nearest_of(near, place, keep)

    def _all_as_near(self, z: Any, tied: NDArray[np.intp], *bounds: Any) -> NDArray[np.float64]:
        votes = super()._all_as_near(z, tied, *bounds)
        # equal on all processes, as what they gathered is
        return _summed(votes) if len(tied) else votes


def knn_together(
    train: Embeddings,
    test: Embeddings,
    *,
    k: int = knn.K,
    temperature: float = knn.TEMPERATURE,
    device: str | None = None,
) -> SharedNeighbours:
    """Test the nearest-neighbour probe; each process searches a share of the training rows.

    All processes call it. Every test row is a query against the rows of all processes, in blocks:
    each process finds the k + 1 nearest of its own rows, and those of all are gathered, 12 bytes
    each. No training row is sent. Results equal those of one process up to the rounding of
    cosines in float32.

    Memory of a process: two blocks of at most 16,384 rows of d, and 12 bytes for each of at most
    2^24 gathered neighbours.

    Example:
        knn_together(Embeddings.load("train", mmap=True), Embeddings.load("test", mmap=True))

    Args:
        train: the same on all processes, labelled where labels are 0 or more; map its features
            (`mmap=True`), and a block of rows is in memory.
        test: the same on all processes; labels mean the same classes.
        k: neighbours that vote, at least 1.
        temperature: of exp(cosine / temperature), above 0.
        device: of torch; None: numpy on the CPU.

    Raises:
        ValueError: for a k or a temperature out of range, rows of different lengths, no
            labelled rows, or NaN or infinite values in them.
    """
    try:
        [options] = knn.candidates({"k": k, "temperature": temperature})
        _check(train, test)
    except ValueError as error:
        raise mark_reported(error) from None
    probe = on_all_ranks(_probe_of_share, train, options["k"], options["temperature"], device)
    labels = test.labels if test.labels is not None else np.empty(0, np.int64)
    rows = np.flatnonzero(labels >= 0)
    predictions = np.empty(len(rows), np.int64)
    step = max(1, min(_ROWS, _ENTRIES // (collectives.world() * (probe.k + 1))))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        queries = test.features[rows[part]]
        if not np.isfinite(queries).all():  # on all processes
            raise mark_reported(ValueError(_NOT_FINITE.format("test")))
        votes = probe.decision_function(queries)
        predictions[part] = probe.classes[votes.argmax(axis=1)]
    wrong = float((predictions != labels[rows]).mean())
    return SharedNeighbours(probe.k, probe.temperature, wrong, predictions, probe.rows, len(rows))


def _check(train: Embeddings, test: Embeddings) -> None:
    if train.d != test.d:
        raise ValueError(f"test: expected {train.d} features a row, as train has, got {test.d}")
    for name, z in (("train", train), ("test", test)):
        if z.labels is None or z.labels.max(initial=-1) < 0:
            raise ValueError(f"{name}: expected labelled rows, got none")


def _probe_of_share(
    train: Embeddings, k: int, temperature: float, device: str | None
) -> _SharedProbe:
    """The probe of this process's labelled rows; a map stays one where all rows have labels."""
    labels = train.labels
    assert labels is not None
    known = labels >= 0
    start, stop = (train.n * (collectives.rank() + j) // collectives.world() for j in (0, 1))
    classes, n = np.unique(labels[known]), int(known.sum())
    held = known[start:stop]
    which = None if held.all() else np.flatnonzero(held)
    for at in range(start, stop, _ROWS):
        part = slice(at, min(at + _ROWS, stop))
        if not np.isfinite(train.features[part][known[part]]).all():
            raise ValueError(_NOT_FINITE.format("train"))
    return _SharedProbe(
        classes,
        train.features[start:stop],
        which,
        np.searchsorted(classes, labels[start:stop][held]),
        min(k, n),
        temperature,
        device,
        n=n,
    )


def _summed(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over all processes."""
    whole: NDArray[np.float64] = collectives.all_reduce_sum(torch.from_numpy(array)).numpy()
    return whole
