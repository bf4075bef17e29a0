"""How far the lengths of rows differ: a histogram that adds up, and the scales it implies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.gram import Spectra
from jessl.scores.rows import Rows, is_cuda_tensor, to_numpy

# bins per octave of squared length (4 % wide), over all octaves of float64; the first is for 0
_BINS_PER_OCTAVE = 16
_LOWEST_EXPONENT = -1075
BINS = 1 + _BINS_PER_OCTAVE * (1024 - _LOWEST_EXPONENT)
# excess variance of squared lengths below which rows count as equally long
_EQUAL_SCALES = 0.01


class RowScales(NamedTuple):
    """Squared scales of rows, mean 1, and the share of the rows that has each."""

    value: NDArray[np.float64]
    share: NDArray[np.float64]


def squared_norm_histogram(rows: Rows) -> NDArray[np.int64]:
    """Rows [n, d] counted by squared length: int64 [BINS]; histograms of parts add up."""
    if is_cuda_tensor(rows):
        squares = (rows.double() ** 2).sum(dim=1).cpu().numpy()
    else:
        x = to_numpy(rows)
        squares = np.empty(len(x))
        step = max(1, 2**21 // x.shape[1])
        for start in range(0, len(x), step):
            chunk = x[start : start + step]
            squares[start : start + step] = np.einsum("nd,nd->n", chunk, chunk, dtype=np.float64)
    bins = np.zeros(len(rows), np.int64)
    positive = squares > 0
    octave = np.minimum(np.log2(squares[positive]), 1024.0)
    bins[positive] = 1 + np.floor(_BINS_PER_OCTAVE * (octave - _LOWEST_EXPONENT)).astype(np.int64)
    return np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)


def row_scales(counts: NDArray[np.int64], spectra: Spectra) -> RowScales | None:
    """The scales s_i^2 of rows x_i = s_i g_i with g Gaussian; None where they are all equal.

    For Gaussian g of covariance S and mean m, the second moment of |x|^2 / E|x|^2 is that of the
    scales times 1 + (2 tr S^2 + 4 m'S m) / (tr S + m'm)^2. Squared lengths are raised to the power
    below 1 that leaves the second moment of the scales alone.

    Args:
        counts: `squared_norm_histogram` of the rows.
        spectra: of the same rows.
    """
    used = np.flatnonzero(counts)
    n = int(counts.sum())
    # relative to the largest bin, as squares of squared lengths could overflow
    value = np.where(used > 0, np.exp2((used - used.max()) / _BINS_PER_OCTAVE), 0.0)
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
    if excess < _EQUAL_SCALES:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        power = (low + high) / 2
        if _variance(_powered(power, value, share), share) > excess:
            high = power
        else:
            low = power
    return RowScales(_powered(high, value, share), share)


def _powered(
    power: float, value: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    raised = np.power(value, power, out=np.zeros_like(value), where=value > 0)
    return raised / (share @ raised)


def _variance(value: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    return float(share @ (value - 1) ** 2)
