"""The weighted nearest-neighbour probe (Wu et al., CVPR 2018): nothing is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Fitted, Kind, Labels, Masks, Options, positive

K = 20
TEMPERATURE = 0.07
# rows, of training or of test, that are held normalised at a time
_ROWS = 16_384
_ROWS_IN_DOUBLE = 512
_CHUNK_ENTRIES = 2**24  # of the similarity matrix: 64 MiB of float32
# a cosine in float32 is no more certain than this; rows as near as that are equally near
_TIE = 1e-6

# (cosines [rows, columns], how many) -> (the largest of each row, their columns)
_Largest = Callable[[Any, int], tuple[NDArray[np.float32], NDArray[np.intp]]]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The training rows: which of the features, not copied, and their labels.

    Attributes:
        x: [n, d], not to be changed afterwards.
        which: the rows of x that are training rows, None for all.
        place: for each training row the column of its class.
        device: None: numpy; else the device of torch for cosines and nearest rows.
    """

    classes: Labels
    x: NDArray[Any]
    which: NDArray[np.intp] | None
    place: NDArray[np.intp]
    k: int
    temperature: float
    device: str | None = None
    converged: bool = True
    probabilistic: bool = False

    @property
    def details(self) -> Options:
        """Nothing was left open."""
        return {}

    def votes(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """[m, d] -> [m, classes]: sums of exp(cosine / temperature) over the k nearest rows.

        Exact, in chunks of training and of test rows. All rows as near as the k-th (to 1e-6,
        float32's rounding) vote, so that no order of the training rows matters. The votes of a
        row are divided by that of its nearest training row, so that the largest is 1 at every
        temperature; towards 0 only the nearest (and those as near) vote.

        Memory: 2 x 16,384 normalised rows in float32, 64 MiB of similarities and up to thrice as
        much to find the nearest of them; the training rows are read, not copied.
        """
        votes = np.zeros((len(x), len(self.classes)))
        with _arithmetic(self.device) as (there, largest):
            for start in range(0, len(x), _ROWS):
                z = there(normalised(x[start : start + _ROWS]))
                votes[start : start + _ROWS] = self._block(z, there, largest)
        return votes

    def _block(self, z: Any, there: Callable[[Any], Any], largest: _Largest) -> NDArray[np.float64]:
        n, m, classes = len(self.place), len(z), len(self.classes)
        # one more than vote: it tells whether rows beyond the k-th are as near
        keep = min(self.k + 1, n)
        near = np.full((m, keep), -np.inf, np.float32)
        place = np.zeros((m, keep), np.intp)
        for start, rows in self._chunks():
            rows_there = there(rows)
            for part in _parts(m, len(rows)):
                found, columns = largest(z[part] @ rows_there.T, min(keep, len(rows)))
                both = np.hstack([near[part], found])
                at = np.hstack([place[part], self.place[start + columns]])
                best = np.argsort(-both, axis=1, kind="stable")[:, :keep]
                near[part] = np.take_along_axis(both, best, axis=1)
                place[part] = np.take_along_axis(at, best, axis=1)
        least = near[:, self.k - 1]
        cell = np.arange(m)[:, None] * classes + place[:, : self.k]
        weight = self._weight(near[:, : self.k], near[:, :1])
        votes = np.zeros((m, classes))
        votes += np.bincount(cell.ravel(), weight.ravel(), m * classes).reshape(m, classes)
        if keep > self.k:
            tied = np.flatnonzero(near[:, self.k] >= least - _TIE)
            votes[tied] = self._all_as_near(z, tied, least[tied] - _TIE, near[tied, 0], there)
        return votes

    def _all_as_near(
        self,
        z: Any,
        tied: NDArray[np.intp],
        least: NDArray[np.float32],
        most: NDArray[np.float32],
        there: Callable[[Any], Any],
    ) -> NDArray[np.float64]:
        """The votes of all training rows at least so near, for some rows of z."""
        classes = len(self.classes)
        votes = np.zeros((len(tied), classes))
        for start, rows in self._chunks() if len(tied) else ():
            rows_there = there(rows)
            for part in _parts(len(tied), 4 * len(rows)):
                cosine = _back(z[tied[part]] @ rows_there.T)
                row, column = np.nonzero(cosine >= least[part, None])
                cell = row * classes + self.place[start + column]
                weight = self._weight(cosine[row, column], most[part][row])
                size = len(cosine) * classes
                votes[part] += np.bincount(cell, weight, size).reshape(-1, classes)
        return votes

    def _chunks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(number of the first, normalised rows) of all training rows."""
        step = min(_ROWS, _CHUNK_ENTRIES)
        for start in range(0, len(self.place), step):
            part = slice(start, start + step)
            yield start, normalised(self.x[part if self.which is None else self.which[part]])

    def _weight(
        self, cosine: NDArray[np.float32], most: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Votes divided by that of the largest cosine of the row."""
        less = cosine.astype(np.float64) - most
        # rounding would decide between equal rows at a low temperature
        less[less >= -_TIE] = 0
        # a quotient that is too large is a vote of 0
        with np.errstate(over="ignore"):
            return np.exp(less / self.temperature)


def fit(
    x: NDArray[Any],
    y: Labels,
    k: int = K,
    temperature: float = TEMPERATURE,
    *,
    which: NDArray[np.intp] | None = None,
    device: str | None = None,
) -> Neighbours:
    """Keep [n, d] rows, all or `which`, with labels [n]; with fewer than k rows all of them vote.

    Args:
        device: "cpu", "cuda" or "cuda:N" of torch; None: numpy, which imports nothing.
    """
    classes, place = np.unique(y if which is None else y[which], return_inverse=True)
    return Neighbours(classes, x, which, place, min(k, len(place)), temperature, device)


def candidates(given: Options) -> list[Options]:
    """The k and the temperature that were set, or the usual ones: nothing is chosen."""
    k = given.get("k", K)
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise ValueError(f"k: needs a whole number of at least 1, got {k}")
    temperature = positive("temperature", given.get("temperature", TEMPERATURE))
    return [{"k": int(k), "temperature": temperature}]


def fits(
    x: NDArray[Any],
    y: Labels,
    masks: Masks,
    candidates: Sequence[Options],
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[list[Fitted]]:
    """For each candidate the training rows of all masks; numpy on the CPU, torch elsewhere."""
    del seed  # nothing is drawn
    # on the CPU both take as long (50,000 rows for 10,000 of d 512 on one core: 11 and 13 s), and
    # torch is slow to import
    on = None if device == "cpu" else device
    for options in candidates:
        found: list[Fitted] = [
            fit(x, y, **options, which=None if mask.all() else np.flatnonzero(mask), device=on)
            for mask in masks
        ]
        yield found


def normalised(x: NDArray[Any]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay zero (cosine 0 with everything)."""
    z = np.empty(x.shape, np.float32)
    for start in range(0, len(x), _ROWS_IN_DOUBLE):
        part = np.asarray(x[start : start + _ROWS_IN_DOUBLE], np.float64)
        length = np.linalg.norm(part, axis=1, keepdims=True)
        z[start : start + len(part)] = part / np.where(length > 0, length, 1.0)
    return z


def _parts(rows: int, columns: int) -> Iterator[slice]:
    """Rows of a matrix with so many columns that fit into a chunk of it, at least one."""
    step = max(1, _CHUNK_ENTRIES // columns)
    for start in range(0, rows, step):
        yield slice(start, start + step)


@contextmanager
def _arithmetic(device: str | None) -> Iterator[tuple[Callable[[Any], Any], _Largest]]:
    """(an array put where the products are made, the largest of each row)."""
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


def _largest_by_torch(cosine: Any, count: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    found = cosine.topk(count, dim=1)
    return _back(found.values), _back(found.indices)


def _back(values: Any) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


KIND = Kind(
    takes=("k", "temperature"),
    candidates=candidates,
    fits=fits,
    standardise="rows to length 1",
    tuning="part",
    untuned={},
    knows_its_rows=True,
)
