"""How far an image is from the labelled ones: the distance to its nearest neighbour among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Features

# labelled rows that are compared with; more take time and memory, and hardly change a quantile
MOST_ROWS = 5000
# so many far images, or more, are no chance below this probability
_UNLIKE = 1e-3
_ENTRIES = 2**22
# farther than this share of the labelled rows are from each other: far from everything
FAR = 0.99


@dataclass(frozen=True, eq=False)
class LabelledNeighbours:
    """Labelled rows, and how far each is from the nearest other.

    The cosine of the features as they are: after centring or standardisation fewer images of
    another kind are marked as far (benchmarks/records, classify).

    Attributes:
        rows: float32 [m, d], of length 1.
        distances: float32 [m], sorted: cosine distances of each row to the nearest other one.
    """

    rows: NDArray[np.float32]
    distances: NDArray[np.float32]

    @classmethod
    def of(cls, z: Features, seed: int = 0) -> LabelledNeighbours:
        """Of rows [n, d]; of many a sample of 5,000."""
        if len(z) > MOST_ROWS:
            z = z[np.sort(np.random.default_rng([seed, 8]).permutation(len(z))[:MOST_ROWS])]
        rows = _unit(z)
        nearest = np.empty(len(rows), np.float32)
        step = max(1, _ENTRIES // max(len(rows), rows.shape[1]))
        for start in range(0, len(rows), step):
            cosine = rows[start : start + step] @ rows.T
            cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = -1
            nearest[start : start + step] = 1 - cosine.max(axis=1)
        return cls(rows, np.sort(nearest))

    def quantile(self, z: Features) -> NDArray[np.float64]:
        """Share of labelled rows that are nearer to another one than each row is to them: [n].

        Args:
            z: [n, d] features.
        """
        result = np.empty(len(z))
        step = max(1, _ENTRIES // max(len(self.rows), self.rows.shape[1]))
        for start in range(0, len(z), step):
            distance = 1 - (_unit(z[start : start + step]) @ self.rows.T).max(axis=1)
            result[start : start + step] = np.searchsorted(self.distances, distance, side="left")
        return result / len(self.distances)

    @staticmethod
    def far(quantile: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether rows are farther than 99 % of the labelled rows; of fewer than 100, than all.

        Of images like the labelled ones about one in a hundred is, or one in n + 1.
        """
        return quantile >= FAR

    @staticmethod
    def chance_of(far: int, rows: int, labelled: int) -> float:
        """Probability that so many rows or more are far, were they like the labelled ones.

        Rows and labelled rows are then exchangeable: the share of far rows has a beta distribution,
        that of an order statistic of the labelled distances, and their number a beta-binomial one.

        Example:
            >>> round(LabelledNeighbours.chance_of(13, 1_000, 300), 2)
            0.48

        Args:
            far: rows that are far, of how many `rows`; labelled: labelled rows.
        """
        from scipy.stats import betabinom

        labelled = min(labelled, MOST_ROWS)
        beyond = labelled - int(np.ceil(FAR * labelled)) + 1
        return float(betabinom.sf(far - 1, rows, beyond, labelled + 1 - beyond))


def unlike_the_labelled(far: int, rows: int, labelled: int) -> str | None:
    """A warning where more images are far from the labelled ones than chance allows.

    Args:
        far: images that are far, of how many `rows`; labelled: labelled images.
    """
    if not rows or LabelledNeighbours.chance_of(far, rows, labelled) >= _UNLIKE:
        return None
    return (
        f"the images to predict are unlike the labelled ones: {far:,} of {rows:,} are far from all "
        "of them, more than chance allows; the expected accuracy and the promised error hold for "
        "images like the labelled ones only, so label some of the others, chosen at random"
    )


def _unit(z: Features) -> NDArray[np.float32]:
    z = np.asarray(z, np.float32)
    unit: NDArray[np.float32] = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return unit
