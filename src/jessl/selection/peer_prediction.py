"""Peer prediction: how much of what other settings have learned can an encoder predict?

The features of a run are judged by the runs of the other settings. Their targets are the canonical
variates between views (the directions that views of an image share most), minus what controls
predict: an untrained net, small pixels. The rest was learned by two trainings independently. Score
of a run: the median over the runs of other settings of the held-out share of variance (R^2) of
their targets that a ridge regression of its features predicts, directions weighted by the
correlation c between views.

Agreement between peers is information sufficiency in the sense of arXiv 2406.07640 and UDR in that
of 1905.12614. Known failures: peers that share a shortcut agree on it; most agreement arises in the
first epoch (2502.18710), which the controls are there for; a setting unlike all others is punished.

Degrees of freedom: half of the images fit directions and regressions, the others test. Cost for r
runs: r^2 products of [n, d] and r factorisations of d^3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# fewer settings are no peers
FEWEST_SETTINGS = 4
# canonical variates of a peer, and the penalty of regressions and directions in shares of variance
_TARGETS = 10
_RIDGE = 1e-2

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class PeerRun:
    """The views of one run.

    Attributes:
        setting: number of its setting; runs of one setting are not peers.
        views: [q, n, d], row i of each is image i, the same images for all runs.
    """

    setting: int
    views: NDArray[np.floating]


def peer_prediction(runs: Sequence[PeerRun], controls: NDArray[np.floating]) -> list[float]:
    """The score of each run; larger is better, at most 1, around 0 where nothing is shared.

    Example:
        scores = peer_prediction(runs, controls=np.hstack([untrained_features, small_pixels]))

    Args:
        runs: of at least four settings, with at least two views of each image.
        controls: [n, c], what no training is needed for.

    Raises:
        ValueError: for fewer than four settings, one view, or unlike numbers of images.
    """
    check_peers(runs, controls)
    n = runs[0].views.shape[1]
    fit = np.arange(n) < n // 2
    base = _standard(np.asarray(controls, np.float64), fit)
    features = [_standard(np.asarray(run.views, np.float64).mean(axis=0), fit) for run in runs]
    targets = [_targets(run.views, fit) for run in runs]
    residuals = [(_residual(y, base, fit), c) for y, c in targets]
    scores = []
    for run, x in zip(runs, features, strict=True):
        shares = [
            _share(x, y, c, fit)
            for peer, (y, c) in zip(runs, residuals, strict=True)
            if peer.setting != run.setting
        ]
        scores.append(float(np.median(shares)))
    return scores


def check_peers(runs: Sequence[PeerRun], controls: NDArray[np.floating]) -> None:
    """Refuse runs that cannot judge each other."""
    settings = {run.setting for run in runs}
    if len(settings) < FEWEST_SETTINGS:
        raise ValueError(
            f"runs: expected at least {FEWEST_SETTINGS} settings that judge each other, got "
            f"{len(settings)}"
        )
    images = {run.views.shape[1] for run in runs} | {len(controls)}
    if len(images) > 1:
        raise ValueError(f"runs: expected the same images, got {sorted(images)} of them")
    if min(len(run.views) for run in runs) < 2:
        raise ValueError("runs: expected at least 2 views of each image")


@dataclass(frozen=True)
class CanonicalDirections:
    """What the views of a run share most.

    Attributes:
        mean: [d] of the images that fit.
        vectors: [d, k], the directions; c: [k] correlation between views along each, 0 .. 1.
    """

    mean: Matrix
    vectors: Matrix
    c: Matrix

    def variates(self, rows: NDArray[np.floating]) -> Matrix:
        """[n, k] of rows [n, d]."""
        projected: Matrix = (np.asarray(rows, np.float64) - self.mean) @ self.vectors
        return projected


def canonical_directions(
    views: NDArray[np.floating], fit: NDArray[np.bool_], count: int
) -> CanonicalDirections:
    """The `count` directions that views of the images `fit` share most."""
    from scipy.linalg import eigh

    x = np.asarray(views, np.float64)[:, fit]
    q, images, d = x.shape
    mean = x.mean(axis=(0, 1))
    rows = (x - mean).reshape(-1, d)
    image = (x - mean).sum(axis=0)
    within = rows.T @ rows
    total = within / len(rows)
    shared = (image.T @ image - within) / (images * q * (q - 1))
    level = _RIDGE * np.trace(total) / d + 1e-12
    values, vectors = eigh(shared, total + level * np.eye(d), check_finite=False)
    order = np.argsort(values)[::-1][:count]
    return CanonicalDirections(mean, vectors[:, order], np.clip(values[order], 0, 1))


def _targets(views: NDArray[np.floating], fit: NDArray[np.bool_]) -> tuple[Matrix, Matrix]:
    """Variates of a peer, averaged over views, and their weights."""
    directions = canonical_directions(views, fit, _TARGETS)
    return directions.variates(np.asarray(views, np.float64).mean(axis=0)), directions.c


def _standard(x: Matrix, fit: NDArray[np.bool_]) -> Matrix:
    """Columns with mean 0 and variance 1 over the images that fit; constant ones are 0."""
    x = x - x[fit].mean(axis=0)
    spread = x[fit].std(axis=0)
    varies = spread > 1e-9 * max(float(spread.max()), 1e-300)
    standard: Matrix = np.divide(x, spread, out=np.zeros_like(x), where=varies)
    return standard


def _predicted(x: Matrix, y: Matrix, fit: NDArray[np.bool_]) -> Matrix:
    """Ridge regression on the images that fit, for all images."""
    from scipy.linalg import solve

    a = x[fit]
    gram = a.T @ a / len(a) + _RIDGE * np.eye(x.shape[1])
    mean = y[fit].mean(axis=0)
    weights: Matrix = solve(gram, a.T @ (y[fit] - mean) / len(a), assume_a="pos")
    predicted: Matrix = x @ weights + mean
    return predicted


def _residual(y: Matrix, base: Matrix, fit: NDArray[np.bool_]) -> Matrix:
    return y - _predicted(base, y, fit)


def _share(x: Matrix, y: Matrix, c: Matrix, fit: NDArray[np.bool_]) -> float:
    """c-weighted held-out R^2 of y from x."""
    test = ~fit
    left = ((y - _predicted(x, y, fit))[test] ** 2).sum(axis=0)
    whole = ((y[test] - y[fit].mean(axis=0)) ** 2).sum(axis=0)
    shares = np.where(whole > 0, 1 - left / np.maximum(whole, 1e-300), 0.0)
    weight = float(c.sum())
    return float((c * shares).sum() / weight) if weight > 0 else 0.0
