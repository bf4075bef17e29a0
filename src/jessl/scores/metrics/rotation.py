"""Rotation probe: can a linear probe tell by how many quarter turns an image was turned?

Reed et al. 2021 (SelfAugment, arXiv 2009.07724) report that the accuracy of a linear probe of the
rotation (Gidaris et al. 2018) orders augmentation policies as labels do. It is the only score here
whose target lies outside the images' views: the rotation is known without labels.

Ridge regression of one-hot rotations on standardised features, fitted on one half of the images and
tested on the other, in both roles; all four rotations of an image are in one half. Degrees of
freedom: d + 1 coefficients a class, n / 2 images of four rows; `ridge` times the number of rows is
added to the Gram matrix of the standardised features.

Known failures: encoders trained with rotations among their views ignore them; images without a
canonical up (microscopy, textures, satellites) have no answer; a net that knows up from the sky
alone knows little else. Compare with the untrained net, which is well above chance.

Cost: 2 q n d^2 and two solutions of d^3 / 3 for each block of the jackknife.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._view_halves import halves

_TURNS = 4
_FEWEST = 8


@dataclass(frozen=True)
class _Sums:
    """Sums over rows: their number, x [d], x x' [d, d], and x by rotation [d, 4]."""

    rows: int
    total: NDArray[np.float64]
    gram: NDArray[np.float64]
    by_turn: NDArray[np.float64]

    def __add__(self, other: _Sums) -> _Sums:
        return self._combine(other, 1)

    def __sub__(self, other: _Sums) -> _Sums:
        return self._combine(other, -1)

    def _combine(self, other: _Sums, sign: int) -> _Sums:
        return _Sums(
            self.rows + sign * other.rows,
            self.total + sign * other.total,
            self.gram + sign * other.gram,
            self.by_turn + sign * other.by_turn,
        )


def compute_rotation(
    z: NDArray[np.floating], block: NDArray[np.int64] | None, *, ridge: float = 1e-2
) -> RowScoreResult:
    """Share of held-out rows whose rotation a linear probe tells.

    Example:
        turned = jessl.extraction.rotations.embed_rotations(encoder, source)
        jessl.score(turned, "rotation")

    Args:
        z: [4, n, d]: the images turned by 0, 90, 180 and 270 degrees.
        block: [n], or None; probes are fitted anew without each block.
        ridge: penalty, in shares of the variance of a feature.

    Returns:
        0 .. 1; .25 is chance.

    Raises:
        ValueError: for another number of rows an image, or ridge not above 0.
    """
    q, n, _ = z.shape
    if q != _TURNS:
        raise ValueError(f"views: rotation needs the 4 rotations of each image, got {q} views")
    if not ridge > 0:
        raise ValueError(f"ridge: expected a number above 0, got {ridge}")
    if n < _FEWEST:
        return RowScoreResult(
            value=float("nan"),
            deleted=None,
            warnings=(f"rotation fits on half of the images: {n} are too few",),
        )
    x = z - z.mean(axis=(0, 1), dtype=np.float64)
    top = float(np.abs(x).max())
    if top <= 1e-7 * float(np.abs(z).max()):
        return RowScoreResult(value=1 / _TURNS, deleted=None, warnings=("all rows are equal",))
    x /= top
    half = halves(n)
    which = np.zeros(n, np.int64) if block is None else np.unique(block, return_inverse=True)[1]
    blocks = range(which.max() + 1)
    parts = [[_sums(x[:, (half == side) & (which == b)]) for b in blocks] for side in (0, 1)]
    whole = [reduce(add, side) for side in parts]

    def correct(without: int | None) -> float:
        hits = tested = 0
        for side in (0, 1):
            fit = whole[side] if without is None else whole[side] - parts[side][without]
            rows = x[:, (half != side) & (True if without is None else which != without)]
            if fit.rows == 0 or rows.size == 0:
                return float("nan")
            turns = _predict(fit, rows, ridge)
            hits += int((turns == np.arange(_TURNS)[:, None]).sum())
            tested += turns.size
        return hits / tested

    deleted = None
    if block is not None and len(blocks) > 1:
        deleted = np.array([correct(b) for b in blocks])
    return RowScoreResult(value=correct(None), deleted=deleted)


def _sums(x: NDArray[np.float64]) -> _Sums:
    rows = x.reshape(-1, x.shape[2])
    return _Sums(len(rows), rows.sum(axis=0), rows.T @ rows, x.sum(axis=1).T)


def _predict(fit: _Sums, x: NDArray[np.float64], ridge: float) -> NDArray[np.int64]:
    """The rotation of each row of [4, n, d], by a probe of the standardised features."""
    from scipy.linalg import solve

    mean = fit.total / fit.rows
    covariance = fit.gram / fit.rows - np.outer(mean, mean)
    variance = np.maximum(np.diag(covariance), 0)
    scale = np.sqrt(variance + 1e-14 * variance.max() + 1e-300)
    standard = covariance / np.outer(scale, scale)
    # one-hot targets minus their mean of a quarter
    targets = (fit.by_turn / fit.rows - np.outer(mean, np.full(_TURNS, 1 / _TURNS))) / scale[
        :, None
    ]
    # constant but for rounding, which the difference of sums over blocks leaves
    dead = variance <= 1e-13 * variance.max()
    standard[dead] = standard[:, dead] = 0
    targets[dead] = 0
    weights = solve(standard + ridge * np.eye(len(mean)), targets, assume_a="pos")
    scores: NDArray[np.float64] = ((x - mean) / scale) @ weights
    turns: NDArray[np.int64] = scores.argmax(axis=2)
    return turns


SCORE = RowScore(
    compute=compute_rotation,
    views=True,
    recipe="rotations",
    higher_is_better=True,
    options={"ridge": 1e-2},
    source="linear probe of the rotation (Reed et al. 2021, arXiv 2009.07724)",
)
