"""How unlike the lengths of rows are: a histogram that adds up, and the weights it stands for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.gram import Spectra
from jessl.scores.rows import on_cuda

# bins of an octave of squared length (4 % wide), over all octaves of float64; the first holds 0
_OCTAVE = 16
_LOWEST = -1075
BINS = 1 + _OCTAVE * (1024 - _LOWEST)
# excess variance of squared lengths below which rows count as equally long
_EQUAL = 0.01


class Weights(NamedTuple):
    """Squared scales of rows, mean 1, and the share of the rows that has each."""

    value: NDArray[np.float64]
    share: NDArray[np.float64]


def histogram(rows: Any) -> NDArray[np.int64]:
    """Rows [n, d] counted by squared length: int64 [BINS]; histograms of parts add up."""
    if on_cuda(rows):
        squares = (rows.double() ** 2).sum(dim=1).cpu().numpy()
    else:
        squares = np.empty(len(rows))
        step = max(1, 2**21 // rows.shape[1])
        for start in range(0, len(rows), step):
            chunk = rows[start : start + step]
            squares[start : start + step] = np.einsum("nd,nd->n", chunk, chunk, dtype=np.float64)
    place = np.zeros(len(rows), np.int64)
    there = squares > 0
    octave = np.minimum(np.log2(squares[there]), 1024.0)
    place[there] = 1 + np.floor(_OCTAVE * (octave - _LOWEST)).astype(np.int64)
    return np.bincount(np.minimum(place, BINS - 1), minlength=BINS)


def weights(counts: NDArray[np.int64], spectra: Spectra) -> Weights | None:
    """The scales s_i^2 of rows x_i = s_i g_i with g Gaussian; None where they are all alike.

    The second moment of |x|^2 / E|x|^2 is that of the scales times, for Gaussian g of covariance S
    and mean m, 1 + (2 tr S^2 + 4 m'S m) / (tr S + m'm)^2; squared lengths are raised to a power
    below 1 that leaves the scales' own.

    Args:
        counts: `histogram` of the rows.
        spectra: of the same rows.
    """
    used = np.flatnonzero(counts)
    n = int(counts.sum())
    # the middle of a bin; over the largest, as squares of squared lengths could overflow
    value = np.where(used > 0, np.exp2((used - used.max()) / _OCTAVE), 0.0)
    share = counts[used] / n
    if not value.any():
        return None
    value = value / (share @ value)
    variance = _variance(value, share)
    top = spectra.raw[0]
    raw, centred = spectra.raw / top, spectra.centred / top
    mean = max(0.0, float(raw.sum() - centred.sum()))
    # tr S^2 of n rows is too large by the mean square of their squared lengths over n
    own = max(0.0, float((centred**2).sum() - centred.sum() ** 2 * (1 + variance) / n))
    cross = max(0.0, float((raw**2).sum() - (centred**2).sum()) - mean**2) / 2
    gaussian = (2 * own + 4 * cross) / float(raw.sum()) ** 2
    excess = (variance - gaussian) / (1 + gaussian)
    if excess < _EQUAL:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        power = (low + high) / 2
        if _variance(_to(power, value, share), share) > excess:
            high = power
        else:
            low = power
    return Weights(_to(high, value, share), share)


def _to(
    power: float, value: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    raised = np.power(value, power, out=np.zeros_like(value), where=value > 0)
    return raised / (share @ raised)


def _variance(value: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    return float(share @ (value - 1) ** 2)
