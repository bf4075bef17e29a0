"""What the points of a map are coloured by."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# classes that have a colour of their own; the others share one
MOST_CLASSES = 32
CLUSTERS = 10
_NONE = -1


@dataclass(frozen=True, eq=False)
class Classes:
    """One of several names an image.

    Attributes:
        name: what the names are, such as `label`.
        names: of the classes, in the order of the legend.
        codes: int32 [n], the class of each image, -1 without one.
        many: groups without a legend, whose colours repeat.
    """

    name: str
    names: Sequence[str]
    codes: NDArray[np.int32]
    many: bool = False

    def at(self, rows: NDArray[np.int64]) -> Classes:
        """Those of some images."""
        return replace(self, codes=self.codes[rows])

    def named(self, name: str) -> Classes:
        """The same by another name."""
        return replace(self, name=name)


@dataclass(frozen=True, eq=False)
class Values:
    """A number an image.

    Attributes:
        name: what the numbers are, such as `confidence`.
        values: float [n], NaN without one.
    """

    name: str
    values: NDArray[np.floating]

    def at(self, rows: NDArray[np.int64]) -> Values:
        """Those of some images."""
        return replace(self, values=self.values[rows])


Colour = Classes | Values


def classes_of(name: str, texts: Sequence[str | None]) -> Classes:
    """The colour of texts, None for images without one; numbers by size, other names by alphabet.

    Above 32 classes the most frequent come first, and the rarest share the class `others`.

    Example:
        >>> classes_of("label", ["dog", "cat", None, "dog"]).names
        ['cat', 'dog']
    """
    present = [text for text in texts if text is not None]
    names, counts = np.unique(np.array(present, dtype=object), return_counts=True)
    ordered = [str(names[k]) for k in np.argsort(-counts, kind="stable")]
    if len(ordered) <= MOST_CLASSES:
        ordered.sort(key=_in_order)
    place = {text: k for k, text in enumerate(ordered)}
    shown = ordered
    if len(ordered) > MOST_CLASSES:
        others = len(ordered) - MOST_CLASSES + 1
        shown = [*ordered[: MOST_CLASSES - 1], f"{others:,} others"]
    last = len(shown) - 1
    codes = [_NONE if text is None else min(place[str(text)], last) for text in texts]
    return Classes(name, shown, np.array(codes, np.int32))


def _in_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() and len(name) < 16 else (-1, name)


def groups_of(name: str, n: int, groups: Sequence[NDArray[np.int64]]) -> Classes:
    """The colour of groups of rows; most rows are in none."""
    codes = np.full(n, _NONE, np.int32)
    for k, rows in enumerate(groups):
        codes[rows] = k
    return Classes(name, [f"group {k + 1}" for k in range(len(groups))], codes, many=True)


def clusters_of(features: NDArray[np.floating], seed: int) -> Classes:
    """Ten clusters of k-means of the rows of length 1, the largest first."""
    from sklearn.cluster import MiniBatchKMeans

    rows = _unit(features)
    fit = MiniBatchKMeans(min(CLUSTERS, len(rows)), n_init=3, batch_size=1024, random_state=seed)
    with warnings.catch_warnings():
        # fewer different rows than clusters; and where the cores cannot be counted
        warnings.simplefilter("ignore")
        fit.fit(rows)
    counts = np.bincount(fit.labels_, minlength=CLUSTERS)
    rank = np.argsort(np.argsort(-counts, kind="stable"))
    present = int((counts > 0).sum())
    names = [f"cluster {k + 1}" for k in range(present)]
    return Classes("cluster", names, rank[fit.labels_].astype(np.int32))


def outlierness_of(features: NDArray[np.floating]) -> Values:
    """The mean cosine distance of each row to its five nearest others; time n^2 d."""
    rows = _unit(features)
    near = min(5, len(rows) - 1)
    distance = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), 1024):
        cosine = rows[start : start + 1024] @ rows.T
        cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = -np.inf
        nearest = np.partition(cosine, -near, axis=1)[:, -near:]
        distance[start : start + 1024] = 1 - nearest.mean(axis=1)
    return Values("distance to the 5 nearest", distance)


def _unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = np.asarray(features, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
