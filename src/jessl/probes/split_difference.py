"""Whether train and test rows differ more than two random parts of one set would."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Features, Labels

# rows of each side, principal axes, least rows of a class on each side, random splits
_MOST_ROWS, _AXES, _LEAST_ROWS, _SPLITS = 1_000, 20, 5, 200
# standard deviations of random splits above which a warning is given
IMPROBABLE = 6.0


class SplitDifference(TypedDict):
    """How far the class means of train and test are apart; see `split_difference`."""

    ratio: float
    z: float
    classes: int


def split_difference(
    x: Features, y: Labels, test_x: Features, test_y: Labels, *, seed: int = 0
) -> SplitDifference | None:
    """Compare the means of each class in train and in test with those of random splits.

    The squared differences of the two means of a class, in the first 20 principal axes of the rows
    within classes, each divided by its variance, are summed over classes, and compared with the
    sums of 200 random divisions of the rows of each class. Other shares of the classes do not
    matter, other images of a class do. Two ends of an ordered set are such: the first 1,200 of
    scikit-learn's digits against the others have a ratio of 4.8.

    At most 1,000 rows of each side are used, so that differences too small to matter do not
    show; time 1e5 d.

    Args:
        x, y: training rows [n, d] and labels [n]; test_x, test_y: test rows.
        seed: of the rows that are used and of the random splits.

    Returns:
        ratio: the sum divided by its mean over random splits; z: its distance from that mean in
        their standard deviations; classes: compared. None where no class has five rows on both
        sides, or where all divisions are alike.
    """
    from sklearn.utils.extmath import randomized_svd

    rng = np.random.default_rng([seed, 14])
    parts = [_some(x, y, rng), _some(test_x, test_y, rng)]
    rows = np.concatenate([part for part, _ in parts])
    labels = np.concatenate([label for _, label in parts])
    of_test = np.repeat([False, True], [len(label) for _, label in parts])
    for label in np.unique(labels):
        rows[labels == label] -= rows[labels == label].mean(axis=0)
    u, s, _ = randomized_svd(rows, min(_AXES, *rows.shape), n_iter=4, random_state=seed)
    scores = (u * s)[:, s > 1e-6 * max(s[0], 1e-12)]
    true, random, classes = 0.0, np.zeros(_SPLITS), 0
    for label in np.intersect1d(parts[0][1], parts[1][1]):
        some = labels == label
        test = of_test[some]
        if min(test.sum(), (~test).sum()) < _LEAST_ROWS:
            continue
        spread = scores[some].std(axis=0)
        if not (spread > 0).any():
            continue
        inside = scores[some][:, spread > 0] / spread[spread > 0]
        drawn = np.stack([test, *(rng.permutation(test) for _ in range(_SPLITS))]).astype(float)
        gap = drawn @ inside / test.sum() - (1 - drawn) @ inside / (~test).sum()
        squared = (gap**2).sum(axis=1)
        true += float(squared[0])
        random += squared[1:]
        classes += 1
    mean, deviation = float(random.mean()), float(random.std(ddof=1))
    # where one row alone differs, all divisions into halves are alike but for rounding
    if not classes or not deviation > 1e-6 * mean:
        return None
    return SplitDifference(ratio=true / mean, z=(true - mean) / deviation, classes=classes)


def describe_difference(difference: SplitDifference | None) -> list[str]:
    """A warning where the sides differ; nothing else."""
    if difference is None or difference["z"] < IMPROBABLE:
        return []
    return [
        "train and test differ more than two random parts of one set would (class means are "
        f"{difference['ratio']:.1f} times as far apart, squared): the test error includes that "
        "difference; two ends of an ordered set are no random split"
    ]


def _some(
    x: Features, y: Labels, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows = np.sort(rng.permutation(len(y))[:_MOST_ROWS])
    return np.asarray(x[rows], np.float64), np.asarray(y)[rows]
