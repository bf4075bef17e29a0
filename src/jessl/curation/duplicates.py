"""Groups of images that are equal or nearly so, and which one of each group to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.curation.nearest import Neighbours

# a pair is near below this share of the distance to the 10th neighbour: of the typical one, and of
# its own
NEAR = 0.3
_TENTH = 10
# cosine distances below this are rounding: equal rows
_EQUAL = 1e-10


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Groups of near-duplicates.

    Attributes:
        groups: int64 rows of each group, the one to keep first; large groups first.
        distance: float64 [n], distance (1 - cosine) of each row to the one that its group keeps;
            NaN outside of groups.
        radius: the distance below which a pair is near, where the pool is as dense as usual.
    """

    groups: tuple[NDArray[np.int64], ...]
    distance: NDArray[np.float64]
    radius: float

    @property
    def surplus(self) -> NDArray[np.int64]:
        """Rows that are not kept, sorted."""
        rest = [group[1:] for group in self.groups]
        return np.sort(np.concatenate(rest)) if rest else np.zeros(0, np.int64)


def near_duplicates(
    neighbours: Neighbours, features: NDArray[np.floating], preferred: NDArray[np.float64]
) -> Duplicates:
    """Group rows that are nearer to each other than images of the same kind are.

    Distances are square roots of 2 - 2 cosine. A pair is near if its distance is below 0.3 times
    the distance to the 10th neighbour: of the median row, and of both rows of the pair. Medians
    are robust to outliers, the 10th neighbour to copies of up to 10, and the second condition to
    classes that an encoder contracts almost to a point. Pairs are joined into groups.

    Args:
        neighbours: of all rows.
        features: [n, d].
        preferred: [n]; the row with the largest value of its group is kept, of equal ones that
            with the most near rows, then the first.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, count = neighbours.index.shape
    length = np.sqrt(2 * neighbours.distance.astype(np.float64))
    tenth = length[:, min(_TENTH, count) - 1]
    # with fewer neighbours than that there is no scale to compare with
    radius = NEAR * float(np.median(tenth)) if count >= _TENTH else 0.0
    reach = np.minimum(NEAR * tenth, radius) if count >= _TENTH else np.zeros(n)
    other = neighbours.index
    near = (length <= np.minimum(reach[:, None], reach[other])) | (neighbours.distance <= _EQUAL)
    one, place = np.nonzero(near)
    two = other[one, place]
    links = coo_array((np.ones(len(one)), (one, two)), shape=(n, n))
    _, group = connected_components(links, directed=False)
    degree = np.bincount(one, minlength=n) + np.bincount(two, minlength=n)
    sizes = np.bincount(group)
    members = np.flatnonzero(sizes[group] > 1)
    order = members[np.lexsort((members, -degree[members], -preferred[members], group[members]))]
    starts = 1 + np.flatnonzero(np.diff(group[order]))
    groups = [part.astype(np.int64) for part in np.split(order, starts) if len(part)]
    groups.sort(key=lambda rows: (-len(rows), int(rows[0])))
    distance = np.full(n, np.nan)
    for rows in groups:
        distance[rows] = _from_first(features, rows)
    return Duplicates(tuple(groups), distance, radius)


def _from_first(features: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    x = np.asarray(features[rows], np.float64)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    distance: NDArray[np.float64] = ((x - x[0]) ** 2).sum(axis=1) / 2
    return distance
