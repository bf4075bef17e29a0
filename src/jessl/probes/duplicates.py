"""Test rows that were trained on, or nearly: what makes a held-out error look too good."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import positive
from jessl.probes.standardize import CHUNK, standardisation, standardised

SHARE = 0.05
# a near row is also nearer than this share of what training rows are from their nearest
OF_NEAREST = 0.2
# with fewer features, or dimensions that the rows fill, independent rows come as near by chance
FEATURES, DIMENSIONS = 5, 3.5
# random pairs of training rows, rows whose nearest is sought, and rows that tell a dimension
PAIRS, LOOKED_AT, TELLING = 4096, 512, 64
# multiplications above which fewer rows are looked at
_PRODUCTS_LOOKED = 2**36
# where all but a few rows agree in so many digits, the features' spread measures those few only
_DIGITS = 1e-9
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

    Distances are those of features divided by their standard deviation over the training rows.
    A test row is near if its distance to a training row is below both

    - `share` times the median distance of 4,096 random pairs of different training rows, and
    - a fifth of the median distance of a training row to its nearest other one, over 512
      random training rows (fewer, at least 64, above 2.6 x 10^5 rows of 512 features).

    Medians, so that a few outliers change neither; the second, so that classes which an encoder
    draws together to almost a point are not near throughout. Training rows that are equal count
    as one in both.

    Near is not told (`near` is None) where independent rows come so near by chance: below 5
    features that vary, where the training rows fill fewer than 3.5 dimensions (encoders of
    very low rank), and where outliers of 10^9 times the others' spread leave no digits. The
    dimension is ln 2 over the median of ln(r2 / r1), of distances to the nearest and second
    nearest row (after Facco et al., Scientific Reports 2017, who fit a line instead); it is
    also low where most training rows have a near copy among themselves.

    Equal rows are found by their bytes, whatever the number of features. Near ones: candidates
    come from a k-d tree of the training rows in a random projection to 8 dimensions, within a
    radius that holds a near pair's projection with probability .999 or more (up to 8 features:
    always); each is then measured in all features, so that nothing is counted that is not near.

    Test rows with more than 64 candidates of which the first 64 are not near (classes that are
    almost points) are compared with all training rows, as many as 3 x 10^11 multiplications
    allow; where that is not enough, `complete` is False, and `near` to be read as "at least".
    Memory: the projections, and chunks of both sets.

    Args:
        train: [n, d], finite; an array or a memory map, of which chunks are read.
        test: [m, d].
        share: above 0 and below 1.
        seed: of the projection, the pairs and the rows looked at.

    Returns:
        identical: test rows equal to a training row; near: further test rows (not the
        identical ones) that are near, None where that is not told; share; test_rows: m; pairs:
        up to ten of the nearest [test row, training row, distance divided by the median distance
        of random pairs] in order, each with the nearest training row of its test row; complete:
        whether `near` is all there is (but for one in a thousand at most), True for None.

    Raises:
        ValueError: for shapes that do not fit, no training row, NaN or infinite values.
    """
    share = positive("share", share)
    _fitting(train, test, share)
    unique, equal = _equal_rows(train, test)
    space = _Space(train, test, unique, seed)
    found = {i: (j, 0.0) for i, j in equal.items()}
    others = np.array([i for i in range(len(test)) if i not in equal], np.intp)
    radius, complete = space.radius(share), True
    if radius is not None and len(others):
        near, complete = _near(space, others, radius)
        found.update(near)
    return {
        "identical": len(equal),
        "near": None if radius is None else len(found) - len(equal),
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
        d = train.shape[1]
        self.mean, scale = standardisation(train)
        self.wide, self.scale = scale, scale.astype(np.float32)
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        for _, part in _chunks(train):
            low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
        # as in the standardisation: a spread of rounding errors is none
        self.varying = int((high - low > 1e-6 * np.abs(self.mean)).sum())
        self.rng = np.random.default_rng([seed, 4])
        axes = self.rng.standard_normal((d, min(d, AXES)))
        self.axes = np.linalg.qr(axes)[0] / scale[:, None]
        self.typical = self._typical() if len(unique) > 1 else 0.0

    def _typical(self) -> float:
        """The median distance of random pairs of different training rows."""
        n = len(self.unique)
        one = self.rng.integers(0, n, PAIRS)
        other = (one + self.rng.integers(1, n, PAIRS)) % n
        return float(np.median(self._apart(self.train, self.unique[one], self.unique[other])))

    def radius(self, share: float) -> float | None:
        """Below which distance a test row is near; None where that is not told."""
        least = _DIGITS * np.sqrt(2 * self.varying)
        if self.varying < FEATURES or self.typical <= least:
            return None
        first, second = self._nearest()
        if len(first) >= TELLING:
            # equal rows are left out, so that a distance of 0 is one that was rounded to it
            ratios = np.maximum(second, least) / np.maximum(first, least)
            if np.log(2) < DIMENSIONS * np.median(np.log(ratios)):
                return None
        return float(min(share * self.typical, OF_NEAREST * np.median(first)))

    def _nearest(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances of some training rows to their nearest and second nearest other one."""
        n, d = len(self.unique), len(self.scale)
        count = min(n, LOOKED_AT, max(TELLING, _PRODUCTS_LOOKED // (n * d)))
        looked = self.rng.choice(n, count, replace=False)
        z = standardised(self.train[self.unique[looked]], self.mean, self.wide, np.float64)
        best = np.full((count, 2), np.inf)
        for first, squares in self.squares(z):
            own = np.flatnonzero((looked >= first) & (looked < first + squares.shape[1]))
            squares[own, looked[own] - first] = np.inf
            both = np.hstack([best, squares])
            best = np.partition(both, 1, axis=1)[:, :2]
        best = np.sqrt(np.maximum(best + np.einsum("ij,ij->i", z, z)[:, None], 0))
        return best[:, 0], best[:, 1]

    def squares(self, z: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """(place of the first, squared distances [rows of z, chunk]) for the different training
        rows in chunks, but for the squares of z's own rows."""
        for first in range(0, len(self.unique), _ROWS):
            others = self.train[self.unique[first : first + _ROWS]]
            # in float64: in float32 classes that are almost points have no distances inside
            a = standardised(others, self.mean, self.wide, np.float64)
            squares = (-2 * z) @ a.T
            squares += np.einsum("ij,ij->i", a, a)
            yield first, squares

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

    def distances(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float32]:
        """Of pairs (test row, training row), in all features."""
        return self._apart(self.test, rows, others)

    def _apart(
        self, x: NDArray[Any], rows: NDArray[np.intp], others: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        found = np.empty(len(rows), np.float32)
        step = max(1, _TOGETHER // len(self.scale))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            z = (x[rows[part]] - self.train[others[part]]) / self.scale
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
        z = standardised(space.test[some], space.mean, space.wide, np.float64)
        least = np.full(len(some), np.inf)
        nearest = np.zeros(len(some), np.intp)
        for first, squares in space.squares(z):
            best = squares.argmin(axis=1)
            value = squares[np.arange(len(some)), best]
            nearest = np.where(value < least, space.unique[first + best], nearest)
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
