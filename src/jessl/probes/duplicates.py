"""Test rows that are equal or very close to training rows, which make a test error optimistic."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Features, check_positive
from jessl.probes.standardize import CHUNK, mean_and_scale, standardise

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

SHARE = 0.05
# a near row is also nearer than this share of the distance of training rows to their nearest
OF_NEAREST = 0.2
# with fewer features, or fewer dimensions filled by the rows, independent rows are near by chance
FEATURES, DIMENSIONS = 5, 3.5
# random pairs of training rows, rows whose nearest row is searched, least rows for a dimension
PAIRS, SAMPLED_ROWS, LEAST_SAMPLED_ROWS = 4096, 512, 64
# multiplications above which fewer rows are sampled
_SAMPLE_PRODUCTS = 2**36
# where all but a few rows agree in this many digits, the features' spread reflects only those few
_DIGITS = 1e-9
# dimensions of the random projection; probability that a pair's projected distance is within the
# bound for its true distance
AXES, COVERAGE = 8, 0.999
# candidates per test row whose distances are computed, in rounds
ROUNDS = (8, 64)
# most multiplications for rows with more candidates: half a minute of one core
PRODUCTS = 2**38
_ROWS = 4096
_TOGETHER = 2**22  # numbers of pairs of rows held at a time
EXAMPLES = 10


class DuplicateReport(TypedDict):
    """Counts of test rows that are equal or near to training rows; see `near_duplicates`."""

    identical: int
    near: int | None
    share: float
    test_rows: int
    pairs: list[list[float]]
    complete: bool


def near_duplicates(
    train: Features, test: Features, *, share: float = SHARE, seed: int = 0
) -> DuplicateReport:
    """Count the test rows that have an equal or a very near training row.

    Distances are between features divided by their standard deviation over the training rows.
    A test row is near if its distance to a training row is below both of

    - `share` times the median distance of 4,096 random pairs of different training rows,
    - a fifth of the median distance of a training row to its nearest other one, over 512
      random training rows (fewer, at least 64, above 2.6 x 10^5 rows of 512 features).

    Medians make both robust to outliers. The second threshold excludes classes that an encoder
    contracts almost to a point. Equal training rows count as one in both.

    `near` is None where independent rows are that near by chance: with fewer than 5 features that
    vary, where the training rows fill fewer than 3.5 dimensions (encoders of very low rank), and
    where outliers of 10^9 times the spread of the others leave no digits. The dimension is ln 2
    over the median of ln(r2 / r1), the distances to the nearest and second nearest row (after Facco
    et al., Scientific Reports 2017, who fit a line instead); it is also low where most training
    rows have a near copy among the training rows.

    Equal rows are detected by their bytes, with any number of features. For near rows, candidates
    come from a k-d tree of the training rows in a random projection to 8 dimensions, within a
    radius that contains a near pair's projection with probability .999 or more (up to 8 features:
    always). The distance of each candidate is then computed in all features, so every counted row
    is near.

    Test rows with more than 64 candidates of which the first 64 are not near (classes contracted
    almost to a point) are compared with all training rows, up to 3 x 10^11 multiplications. If that
    is not enough, `complete` is False and `near` is a lower bound. Memory: the projections, and
    chunks of both sets.

    Example:
        near_duplicates(train.features, test.features)["identical"]

    Args:
        train: [n, d], finite; an array or a memory map, which is read in chunks.
        test: [m, d].
        share: above 0 and below 1.
        seed: of the projection, the pairs and the sampled rows.

    Returns:
        identical: test rows equal to a training row; near: further test rows (not the identical
        ones) that are near, or None, see above; share; test_rows: m; pairs: up to ten of the
        nearest [test row, training row, distance divided by the median distance of random pairs]
        in order, each with the nearest training row of its test row; complete: whether `near`
        counts all near rows (except for one in a thousand at most), True for None.

    Raises:
        ValueError: for inconsistent shapes, no training row, NaN or infinite values.
    """
    share = check_positive("share", share)
    _check_arguments(train, test, share)
    unique, equal = _equal_rows(train, test)
    space = _ScaledSpace(train, test, unique, seed)
    pairs = {i: (j, 0.0) for i, j in equal.items()}
    others = np.array([i for i in range(len(test)) if i not in equal], np.intp)
    radius, complete = space.radius(share), True
    if radius is not None and len(others):
        near, complete = _near_rows(space, others, radius)
        pairs.update(near)
    return {
        "identical": len(equal),
        "near": None if radius is None else len(pairs) - len(equal),
        "share": share,
        "test_rows": len(test),
        "pairs": _examples(space, pairs),
        "complete": complete,
    }


def _check_arguments(train: Features, test: Features, share: float) -> None:
    if share >= 1:
        raise ValueError(f"share: expected a number above 0 and below 1, got {share}")
    for name, x in (("train", train), ("test", test)):
        if x.ndim != 2 or x.shape[1] != train.shape[-1] or not x.shape[1]:
            raise ValueError(
                f"{name}: expected shapes [n, d] and [m, d] of train and test, got "
                f"{list(train.shape)} and {list(test.shape)}"
            )
        bad = sum(int((~np.isfinite(part).all(axis=1)).sum()) for _, part in _chunks(x))
        if bad:
            raise ValueError(f"{name}: {bad} of {len(x)} rows hold NaN or infinite values")
    if not len(train):
        raise ValueError("train: expected at least one row, got none")


def _chunks(x: Features) -> Iterator[tuple[int, Features]]:
    for start in range(0, len(x), CHUNK):
        yield start, x[start : start + CHUNK]


def _row_digests(x: Features) -> Iterator[bytes]:
    """A digest of 16 bytes per row (probability of a collision among 10^9 rows: 10^-21)."""
    for _, part in _chunks(x):
        # adding 0 turns minus zero, which has other bytes, into zero
        for row in np.ascontiguousarray(part, np.float32) + np.float32(0):
            yield blake2b(row, digest_size=16).digest()


def _equal_rows(train: Features, test: Features) -> tuple[NDArray[np.intp], dict[int, int]]:
    """(first of each set of equal training rows, {test row: first training row equal to it})."""
    first: dict[bytes, int] = {}
    for j, name in enumerate(_row_digests(train)):
        first.setdefault(name, j)
    equal = {i: first[name] for i, name in enumerate(_row_digests(test)) if name in first}
    return np.fromiter(first.values(), np.intp, len(first)), equal


class _ScaledSpace:
    """Both sets of rows, scaled by the spread of the training rows and projected."""

    def __init__(
        self, train: Features, test: Features, unique: NDArray[np.intp], seed: int
    ) -> None:
        self.train, self.test, self.unique = train, test, unique
        d = train.shape[1]
        self.mean, scale = mean_and_scale(train)
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
        """The distance below which a test row is near; None where rows are near by chance."""
        least = _DIGITS * np.sqrt(2 * self.varying)
        if self.varying < FEATURES or self.typical <= least:
            return None
        first, second = self._nearest()
        if len(first) >= LEAST_SAMPLED_ROWS:
            # equal rows are left out, so a distance of 0 is a rounded one
            ratios = np.maximum(second, least) / np.maximum(first, least)
            if np.log(2) < DIMENSIONS * np.median(np.log(ratios)):
                return None
        return float(min(share * self.typical, OF_NEAREST * np.median(first)))

    def _nearest(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances of some training rows to their nearest and second nearest other one."""
        n, d = len(self.unique), len(self.scale)
        count = min(n, SAMPLED_ROWS, max(LEAST_SAMPLED_ROWS, _SAMPLE_PRODUCTS // (n * d)))
        sampled = self.rng.choice(n, count, replace=False)
        z = standardise(self.train[self.unique[sampled]], self.mean, self.wide, np.float64)
        best = np.full((count, 2), np.inf)
        for first, squares in self.squares(z):
            own = np.flatnonzero((sampled >= first) & (sampled < first + squares.shape[1]))
            squares[own, sampled[own] - first] = np.inf
            both = np.hstack([best, squares])
            best = np.partition(both, 1, axis=1)[:, :2]
        best = np.sqrt(np.maximum(best + np.einsum("ij,ij->i", z, z)[:, None], 0))
        return best[:, 0], best[:, 1]

    def squares(self, z: Features) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Squared distances to the different training rows in chunks.

        Yields (index of the first training row, [rows of z, chunk]), without the summand |z|^2.
        """
        for first in range(0, len(self.unique), _ROWS):
            others = self.train[self.unique[first : first + _ROWS]]
            # float64, as float32 has no digits for distances within contracted classes
            a = standardise(others, self.mean, self.wide, np.float64)
            squares = (-2 * z) @ a.T
            squares += np.einsum("ij,ij->i", a, a)
            yield first, squares

    def projected(self, x: Features) -> NDArray[np.float64]:
        """[rows, d] -> [rows, 8], orthonormal directions of the scaled features."""
        points = np.empty((len(x), self.axes.shape[1]))
        for start, part in _chunks(x):
            points[start : start + len(part)] = (part - self.mean) @ self.axes
        return points

    def reach(self, distance: float) -> float:
        """The projected distance that at most 1 in 1,000 pairs nearer than `distance` exceed.

        The squared share of a vector's length in a random subspace of 8 of d dimensions follows
        the beta distribution (4, (d - 8) / 2).
        """
        from scipy.stats import beta

        d, axes = self.axes.shape
        if d == axes:
            return distance * (1 + 1e-6)
        return distance * float(np.sqrt(beta.ppf(COVERAGE, axes / 2, (d - axes) / 2)))

    def distances(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float32]:
        """Distances of pairs (test row, training row) in all features."""
        return self._apart(self.test, rows, others)

    def _apart(
        self, x: Features, rows: NDArray[np.intp], others: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        distances = np.empty(len(rows), np.float32)
        step = max(1, _TOGETHER // len(self.scale))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            z = (x[rows[part]] - self.train[others[part]]) / self.scale
            distances[part] = np.sqrt(np.einsum("ij,ij->i", z, z))
        return distances


def _near_rows(
    space: _ScaledSpace, rows: NDArray[np.intp], radius: float
) -> tuple[dict[int, tuple[int, float]], bool]:
    """({test row: (training row, distance)} for rows nearer than the radius, is it complete)."""
    from scipy.spatial import cKDTree

    # median splits are slow among nearly equal points
    tree = cKDTree(space.projected(space.train)[space.unique], balanced_tree=False)
    pairs: dict[int, tuple[int, float]] = {}
    undecided: list[NDArray[np.intp]] = []
    for start in range(0, len(rows), _ROWS):
        left = rows[start : start + _ROWS]
        points = space.projected(space.test[left])
        for count in ROUNDS:
            still = _check_candidates(space, tree, left, points, radius, count, pairs)
            left, points = left[still], points[still]
        undecided.append(left)
    left = np.concatenate(undecided)
    most = PRODUCTS // (len(space.unique) * len(space.scale))
    _compare_with_all(space, left[:most], radius, pairs)
    return pairs, len(left) <= most


def _check_candidates(
    space: _ScaledSpace,
    tree: cKDTree,
    rows: NDArray[np.intp],
    points: NDArray[np.float64],
    radius: float,
    count: int,
    pairs: dict[int, tuple[int, float]],
) -> NDArray[np.bool_]:
    """Compute the distances of the `count` candidates nearest in the projection, for each row.

    Near rows are added to `pairs`. Returns which rows have no near candidate and more candidates.
    """
    within, which = tree.query(points, k=count, distance_upper_bound=space.reach(radius))
    row, column = np.nonzero(np.isfinite(within))
    others = space.unique[which[row, column]]
    distance = space.distances(rows[row], others)
    best = np.full(len(rows), np.inf, np.float32)
    np.minimum.at(best, row, distance)
    for at in np.flatnonzero((distance == best[row]) & (distance < radius)):
        pairs.setdefault(int(rows[row[at]]), (int(others[at]), float(distance[at])))
    undecided: NDArray[np.bool_] = (best >= radius) & np.isfinite(within).all(axis=1)
    return undecided


def _compare_with_all(
    space: _ScaledSpace, rows: NDArray[np.intp], radius: float, pairs: dict[int, tuple[int, float]]
) -> None:
    """The same by products with all training rows, for rows with very many candidates."""
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        z = standardise(space.test[some], space.mean, space.wide, np.float64)
        least = np.full(len(some), np.inf)
        nearest = np.zeros(len(some), np.intp)
        for first, squares in space.squares(z):
            best = squares.argmin(axis=1)
            value = squares[np.arange(len(some)), best]
            nearest = np.where(value < least, space.unique[first + best], nearest)
            least = np.minimum(value, least)
        distance = space.distances(some, nearest)
        for at in np.flatnonzero(distance < radius):
            pairs[int(some[at])] = (int(nearest[at]), float(distance[at]))


def _examples(space: _ScaledSpace, pairs: dict[int, tuple[int, float]]) -> list[list[float]]:
    """The nearest pairs as examples, each with the nearest of all training rows."""
    nearest = sorted(pairs.items(), key=lambda item: (item[1][1], item[0]))[:EXAMPLES]
    examples: list[list[float]] = []
    for i, (j, length) in nearest:
        if length > 0:
            every = space.distances(np.full(len(space.unique), i), space.unique)
            j, length = int(space.unique[every.argmin()]), float(every.min())
        examples.append([i, j, length / space.typical if space.typical else 0.0])
    return sorted(examples, key=lambda pair: pair[2])
