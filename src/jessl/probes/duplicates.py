"""Test rows that were trained on, or nearly: what makes a held-out error look too good."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.probes.axes import CHUNK, standardisation, standardised
from jessl.probes.kinds import positive

SHARE = 0.05
# features of the random projection; a pair's projected distance is at most what the true one
# allows with this probability
AXES, KEPT = 8, 0.999
# candidates of a test row that are measured one by one, in rounds
ROUNDS = (8, 64)
# multiplications that may be spent on rows with more candidates: half a minute of one core
PRODUCTS = 2**38
_ROWS = 4096
_TOGETHER = 2**22  # numbers of pairs that are measured at a time
EXAMPLES = 10


def near_duplicates(
    train: NDArray[Any], test: NDArray[Any], *, share: float = SHARE, seed: int = 0
) -> dict[str, Any]:
    """Count the test rows that have an equal or a very near training row.

    Near is nearer than `share` times the root mean square distance between two training rows,
    features divided by their standard deviation over the training rows. Equal rows are found by
    their bytes. Near ones: candidates come from a k-d tree of the training rows in a random
    projection to 8 dimensions, within a radius that holds a near pair's projection with
    probability .999 or more (up to 8 features: always); each is then measured in all features,
    so that nothing is counted that is not near.

    Test rows with more than 64 candidates of which the first 64 are not near (classes that are
    almost points) are compared with all training rows, as many as 3 x 10^11 multiplications
    allow; where that is not enough, `complete` is False, and `near` to be read as "at least".
    Memory: the projections, and chunks of both sets.

    Args:
        train: [n, d], finite; an array or a memory map, of which chunks are read.
        test: [m, d].
        share: above 0 and below 1.
        seed: of the projection.

    Returns:
        identical: test rows equal to a training row; near: further test rows (not the
        identical ones) with one nearer than `share`; share; test_rows: m; pairs: up to ten of
        the nearest [test row, training row, distance divided by the root mean square distance]
        in order, each with the nearest training row of its test row; complete: whether `near` is
        all there is (but for one in a thousand at most).

    Raises:
        ValueError: for shapes that do not fit, no training row, NaN or infinite values.
    """
    _fitting(train, test, positive("share", share))
    unique, equal = _equal_rows(train, test)
    space = _Space(train, test, unique, seed)
    found = {i: (j, 0.0) for i, j in equal.items()}
    others = np.array([i for i in range(len(test)) if i not in equal], np.intp)
    complete = True
    if space.typical > 0 and len(others):
        near, complete = _near(space, others, share * space.typical)
        found.update(near)
    return {
        "identical": len(equal),
        "near": len(found) - len(equal),
        "share": share,
        "test_rows": len(test),
        "pairs": _examples(space, found),
        "complete": complete,
    }


def _fitting(train: NDArray[Any], test: NDArray[Any], share: float) -> None:
    if share >= 1:
        raise ValueError(f"share: needs a number above 0 and below 1, got {share}")
    for name, x in (("train", train), ("test", test)):
        if x.ndim != 2 or x.shape[1] != train.shape[-1] or not x.shape[1]:
            raise ValueError(
                f"{name}: train and test need shapes [n, d] and [m, d], got {list(train.shape)} "
                f"and {list(test.shape)}"
            )
        bad = sum(int((~np.isfinite(part).all(axis=1)).sum()) for _, part in _chunks(x))
        if bad:
            raise ValueError(f"{name}: {bad} of {len(x)} rows hold NaN or infinite values")
    if not len(train):
        raise ValueError("train: needs at least one row")


def _chunks(x: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    for start in range(0, len(x), CHUNK):
        yield start, x[start : start + CHUNK]


def _names(x: NDArray[Any]) -> Iterator[bytes]:
    """16 bytes a row that differ where rows do (of 10^9 rows two agree with chance 10^-21)."""
    for _, part in _chunks(x):
        # 0 is added because minus zero is zero and has other bytes
        for row in np.ascontiguousarray(part, np.float32) + np.float32(0):
            yield blake2b(row, digest_size=16).digest()


def _equal_rows(train: NDArray[Any], test: NDArray[Any]) -> tuple[NDArray[np.intp], dict[int, int]]:
    """(first of each set of equal training rows, {test row: first training row equal to it})."""
    first: dict[bytes, int] = {}
    for j, name in enumerate(_names(train)):
        first.setdefault(name, j)
    equal = {i: first[name] for i, name in enumerate(_names(test)) if name in first}
    return np.fromiter(first.values(), np.intp, len(first)), equal


class _Space:
    """Both sets of rows, scaled by the spread of the training rows and projected."""

    def __init__(
        self, train: NDArray[Any], test: NDArray[Any], unique: NDArray[np.intp], seed: int
    ) -> None:
        self.train, self.test, self.unique = train, test, unique
        n, d = train.shape
        self.mean, scale = standardisation(train)
        self.scale = scale.astype(np.float32)
        spread = np.zeros(d)
        for _, part in _chunks(train):
            spread += (((part - self.mean) / scale) ** 2).sum(axis=0)
        # the root mean square distance of two rows; of equal ones only rounding would be left
        self.typical = float(np.sqrt(2 * spread.sum() / (n - 1))) if len(unique) > 1 else 0.0
        axes = np.random.default_rng([seed, 4]).standard_normal((d, min(d, AXES)))
        self.axes = np.linalg.qr(axes)[0] / scale[:, None]

    def projected(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """[rows, d] -> [rows, 8], orthonormal directions of the scaled features."""
        found = np.empty((len(x), self.axes.shape[1]))
        for start, part in _chunks(x):
            found[start : start + len(part)] = (part - self.mean) @ self.axes
        return found

    def reach(self, distance: float) -> float:
        """The projected distance that pairs nearer than `distance` exceed once in 1,000 at most.

        The squared share of a vector's length in a random subspace of 8 of d dimensions follows
        the beta distribution (4, (d - 8) / 2).
        """
        from scipy.stats import beta

        d, axes = self.axes.shape
        if d == axes:
            return distance * (1 + 1e-6)
        return distance * float(np.sqrt(beta.ppf(KEPT, axes / 2, (d - axes) / 2)))

    def scaled(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """[rows, d], centred and divided by the spread."""
        return standardised(x, self.mean, self.scale.astype(np.float64))

    def distances(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float32]:
        """Of pairs (test row, training row), in all features."""
        found = np.empty(len(rows), np.float32)
        step = max(1, _TOGETHER // len(self.scale))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            z = (self.test[rows[part]] - self.train[others[part]]) / self.scale
            found[part] = np.sqrt(np.einsum("ij,ij->i", z, z))
        return found


def _near(
    space: _Space, rows: NDArray[np.intp], radius: float
) -> tuple[dict[int, tuple[int, float]], bool]:
    """({test row: (training row, distance)} of rows nearer than the radius, whether all)."""
    from scipy.spatial import cKDTree

    # median splits take long among points that are nearly equal
    tree = cKDTree(space.projected(space.train)[space.unique], balanced_tree=False)
    found: dict[int, tuple[int, float]] = {}
    undecided: list[NDArray[np.intp]] = []
    for start in range(0, len(rows), _ROWS):
        left = rows[start : start + _ROWS]
        points = space.projected(space.test[left])
        for count in ROUNDS:
            still = _round(space, tree, left, points, radius, count, found)
            left, points = left[still], points[still]
        undecided.append(left)
    left = np.concatenate(undecided)
    most = PRODUCTS // (len(space.unique) * len(space.scale))
    _against_all(space, left[:most], radius, found)
    return found, len(left) <= most


def _round(
    space: _Space,
    tree: Any,
    rows: NDArray[np.intp],
    points: NDArray[np.float64],
    radius: float,
    count: int,
    found: dict[int, tuple[int, float]],
) -> NDArray[np.bool_]:
    """Measure the `count` candidates of each row that are nearest in the projection; put the
    near ones into `found` and say which rows have neither one nor an end of their candidates."""
    within, which = tree.query(points, k=count, distance_upper_bound=space.reach(radius))
    row, column = np.nonzero(np.isfinite(within))
    others = space.unique[which[row, column]]
    distance = space.distances(rows[row], others)
    best = np.full(len(rows), np.inf, np.float32)
    np.minimum.at(best, row, distance)
    for at in np.flatnonzero((distance == best[row]) & (distance < radius)):
        found.setdefault(int(rows[row[at]]), (int(others[at]), float(distance[at])))
    return (best >= radius) & np.isfinite(within).all(axis=1)


def _against_all(
    space: _Space, rows: NDArray[np.intp], radius: float, found: dict[int, tuple[int, float]]
) -> None:
    """The same by the products with all training rows, for rows with very many candidates."""
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        z = -2 * space.scaled(space.test[some])
        least = np.full(len(some), np.inf, np.float32)
        nearest = np.zeros(len(some), np.intp)
        for first in range(0, len(space.unique), _ROWS):
            others = space.unique[first : first + _ROWS]
            a = space.scaled(space.train[others])
            # the squared distance but for the test row's own square
            squares = z @ a.T
            squares += np.einsum("ij,ij->i", a, a)
            best = squares.argmin(axis=1)
            value = squares[np.arange(len(some)), best]
            nearest = np.where(value < least, others[best], nearest)
            least = np.minimum(value, least)
        distance = space.distances(some, nearest)
        for at in np.flatnonzero(distance < radius):
            found[int(some[at])] = (int(nearest[at]), float(distance[at]))


def _examples(space: _Space, found: dict[int, tuple[int, float]]) -> list[list[Any]]:
    """The pairs to look at: the nearest found, each measured against every training row."""
    nearest = sorted(found.items(), key=lambda item: (item[1][1], item[0]))[:EXAMPLES]
    told: list[list[Any]] = []
    for i, (j, length) in nearest:
        if length > 0:
            every = space.distances(np.full(len(space.unique), i), space.unique)
            j, length = int(space.unique[every.argmin()]), float(every.min())
        told.append([i, j, length / space.typical if space.typical else 0.0])
    return sorted(told, key=lambda pair: pair[2])
