"""The weighted nearest-neighbour probe (Wu et al., CVPR 2018): nothing is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

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

K = 20
TEMPERATURE = 0.07
# rows, of training or of test, that are held normalised at a time
_ROWS = 16_384
_ROWS_IN_DOUBLE = 512
_CHUNK_ENTRIES = 2**24  # of the similarity matrix: 64 MiB of float32
# rounding of a cosine in float32; rows whose cosines differ by less are equally near
_TIE = 1e-6

_Array = Any  # of numpy, or a tensor on the device
_ToDevice = Callable[[NDArray[np.float32]], _Array]
# (cosines [rows, columns], count) -> (the largest of each row, their columns)
_Largest = Callable[[_Array, int], tuple[NDArray[np.float32], NDArray[np.intp]]]


@dataclass(frozen=True, eq=False)
class NeighbourProbe:
    """The training rows, not copied, and their labels.

    Attributes:
        x: [n, d], which must not change afterwards.
        which: the rows of x that are training rows, None for all.
        place: for each training row the index of its class.
        device: None: numpy; else the torch device of the cosines and of the search.
    """

    classes: Labels
    x: Features
    which: NDArray[np.intp] | None
    place: NDArray[np.intp]
    k: int
    temperature: float
    device: str | None = None
    converged: bool = True
    probabilistic: bool = False
    counts_votes: ClassVar[bool] = True

    @property
    def details(self) -> Options:
        """None: all options have fixed values."""
        return {}

    def decision_function(self, x: Features) -> NDArray[np.float64]:
        """[m, d] -> [m, classes]: sums of exp(cosine / temperature) over the k nearest rows.

        Exact, in chunks of training and of test rows. All rows as near as the k-th (to 1e-6, the
        rounding of float32) vote, so the order of the training rows does not matter. The votes for
        a row are divided by that of its nearest training row, so that the largest is 1 at every
        temperature; towards 0 only the nearest rows vote.

        Memory: 2 x 16,384 normalised rows in float32, 64 MiB of similarities and up to three
        times as much to select the nearest; the training rows are read, not copied.
        """
        votes = np.zeros((len(x), len(self.classes)))
        with _backend(self.device) as (to_device, largest):
            for start in range(0, len(x), _ROWS):
                z = to_device(unit_rows(x[start : start + _ROWS]))
                votes[start : start + _ROWS] = self._block(z, to_device, largest)
        return votes

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.place)

    def _block(self, z: _Array, to_device: _ToDevice, largest: _Largest) -> NDArray[np.float64]:
        m, classes = len(z), len(self.classes)
        # one more than k: it shows whether rows beyond the k-th are as near
        keep = min(self.k + 1, self.rows)
        near, place = self._nearest(z, keep, to_device, largest)
        least = near[:, self.k - 1]
        cell = np.arange(m)[:, None] * classes + place[:, : self.k]
        weight = self._weight(near[:, : self.k], near[:, :1])
        votes = np.zeros((m, classes))
        votes += np.bincount(cell.ravel(), weight.ravel(), m * classes).reshape(m, classes)
        if keep > self.k:
            tied = np.flatnonzero(near[:, self.k] >= least - _TIE)
            votes[tied] = self._all_as_near(z, tied, least[tied] - _TIE, near[tied, 0], to_device)
        return votes

    def _nearest(
        self, z: _Array, keep: int, to_device: _ToDevice, largest: _Largest
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Cosines and classes of the `keep` nearest training rows, both [m, keep]."""
        m = len(z)
        near = np.full((m, keep), -np.inf, np.float32)
        place = np.zeros((m, keep), np.intp)
        for start, rows in self._chunks():
            chunk = to_device(rows)
            for part in _row_slices(m, len(rows)):
                cosines, columns = largest(z[part] @ chunk.T, min(keep, len(rows)))
                near[part], place[part] = nearest_of(
                    np.hstack([near[part], cosines]),
                    np.hstack([place[part], self.place[start + columns]]),
                    keep,
                )
        return near, place

    def _all_as_near(
        self,
        z: _Array,
        tied: NDArray[np.intp],
        least: NDArray[np.float32],
        most: NDArray[np.float32],
        to_device: _ToDevice,
    ) -> NDArray[np.float64]:
        """The votes of all training rows that are at least so near, for some rows of z."""
        classes = len(self.classes)
        votes = np.zeros((len(tied), classes))
        for start, rows in self._chunks() if len(tied) else ():
            chunk = to_device(rows)
            for part in _row_slices(len(tied), 4 * len(rows)):
                cosine = _to_numpy(z[tied[part]] @ chunk.T)
                row, column = np.nonzero(cosine >= least[part, None])
                cell = row * classes + self.place[start + column]
                weight = self._weight(cosine[row, column], most[part][row])
                size = len(cosine) * classes
                votes[part] += np.bincount(cell, weight, size).reshape(-1, classes)
        return votes

    def _chunks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(index of the first, normalised rows) for all training rows."""
        step = min(_ROWS, _CHUNK_ENTRIES)
        for start in range(0, len(self.place), step):
            part = slice(start, start + step)
            yield start, unit_rows(self.x[part if self.which is None else self.which[part]])

    def _weight(
        self, cosine: NDArray[np.float32], most: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Votes divided by that of the largest cosine of the row."""
        difference = cosine.astype(np.float64) - most
        # at a low temperature rounding would separate equal rows
        difference[difference >= -_TIE] = 0
        # an overflowing quotient is a vote of 0
        with np.errstate(over="ignore"):
            return np.exp(difference / self.temperature)


def build(
    x: Features,
    y: Labels,
    k: int = K,
    temperature: float = TEMPERATURE,
    *,
    which: NDArray[np.intp] | None = None,
    device: str | None = None,
) -> NeighbourProbe:
    """A probe of [n, d] rows, all or `which`, with labels [n]; fewer than k rows all vote.

    Args:
        device: "cpu", "cuda" or "cuda:N" of torch; None: numpy, without importing torch.
    """
    classes, place = np.unique(y if which is None else y[which], return_inverse=True)
    return NeighbourProbe(classes, x, which, place, min(k, len(place)), temperature, device)


def candidates(options: Mapping[str, object]) -> list[Options]:
    """A single candidate: the k and the temperature that were set, or the defaults."""
    k = options.get("k", K)
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise ValueError(f"k: expected a whole number of at least 1, got {k}")
    temperature = check_positive("temperature", options.get("temperature", TEMPERATURE))
    return [{"k": int(k), "temperature": temperature}]


def fit_path(request: FitRequest) -> Iterator[list[FittedProbe]]:
    """For each candidate the training rows of all masks; numpy on the CPU, torch elsewhere."""
    # on the CPU both take equally long (10,000 rows against 50,000 of d 512 on one core: 11 and
    # 13 s), and torch is slow to import
    device = None if request.device == "cpu" else request.device
    for options in request.candidates:
        probes: list[FittedProbe] = [
            build(
                request.x,
                request.y,
                **options,
                which=None if mask.all() else np.flatnonzero(mask),
                device=device,
            )
            for mask in request.masks
        ]
        yield probes


def nearest_of(
    near: NDArray[np.float32], place: NDArray[np.intp], keep: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """The `keep` largest cosines of each row and their classes; of equal ones the first."""
    best = np.argsort(-near, axis=1, kind="stable")[:, :keep]
    return np.take_along_axis(near, best, axis=1), np.take_along_axis(place, best, axis=1)


def unit_rows(x: Features) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay zeros (cosine 0 with all rows)."""
    z = np.empty(x.shape, np.float32)
    for start in range(0, len(x), _ROWS_IN_DOUBLE):
        part = np.asarray(x[start : start + _ROWS_IN_DOUBLE], np.float64)
        length = np.linalg.norm(part, axis=1, keepdims=True)
        z[start : start + len(part)] = part / np.where(length > 0, length, 1.0)
    return z


def _row_slices(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows whose entries fit into a chunk, at least one row each."""
    step = max(1, _CHUNK_ENTRIES // columns)
    for start in range(0, rows, step):
        yield slice(start, start + step)


@contextmanager
def _backend(device: str | None) -> Iterator[tuple[_ToDevice, _Largest]]:
    """(a function that moves an array to the device, the selection of the largest)."""
    if device is None:
        yield (lambda rows: rows), _largest_by_numpy
        return
    import torch

    from jessl.core.precision import full_float32

    with full_float32():
        yield (lambda rows: torch.from_numpy(rows).to(device)), _largest_by_torch


def _largest_by_numpy(
    cosine: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    columns = np.argpartition(cosine, cosine.shape[1] - count, axis=1)[:, -count:]
    return np.take_along_axis(cosine, columns, axis=1), columns


def _largest_by_torch(cosine: _Array, count: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    best = cosine.topk(count, dim=1)
    return _to_numpy(best.values), _to_numpy(best.indices)


def _to_numpy(values: _Array) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


KIND = ProbeKind(
    option_names=("k", "temperature"),
    candidates=candidates,
    fit_path=fit_path,
    standardisation="rows to length 1",
    default_tuning="part",
    fallback_options={},
    memorises_training_rows=True,
)
