"""Seeded choices of rows that keep the shares of the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import check_int


def folds(
    y: NDArray[np.int64], count: int, seed: int, units: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """A fold 0 .. count-1 for each row: every class is shuffled and dealt out in turn.

    The dealing goes on from one class to the next, so that folds differ by at most one row.

    Args:
        y: [n] labels.
        count: of folds, at least 2.
        seed: of the dealing.
        units: [n] whole numbers; rows that share one stay in one fold. None: each row by itself.

    Raises:
        ValueError: for fewer units than folds.
    """
    if units is not None:
        return _folds_of_units(y, count, seed, units)
    rng = np.random.default_rng([seed, 1])
    place = np.empty(len(y), np.int64)
    order = np.concatenate([rng.permutation(np.flatnonzero(y == c)) for c in np.unique(y)])
    place[order] = np.arange(len(y)) % count
    return place


def _folds_of_units(
    y: NDArray[np.int64], count: int, seed: int, units: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Large units first, each to the fold with the fewest rows of its most frequent class."""
    names, unit = np.unique(units, return_inverse=True)
    if len(names) < count:
        raise ValueError(f"folds: {count} asked, the rows have {len(names)} groups")
    classes, place = np.unique(y, return_inverse=True)
    size = np.bincount(unit)
    # the most frequent class of each unit: the longest run of equal (unit, class)
    pair, rows = np.unique(unit * len(classes) + place, return_counts=True)
    order = np.lexsort((rows, pair // len(classes)))
    last = np.r_[np.diff(pair[order] // len(classes)) > 0, True]
    main = pair[order][last] % len(classes)
    held = np.zeros((len(classes), count))
    total = np.zeros(count)
    fold = np.empty(len(names), np.int64)
    rng = np.random.default_rng([seed, 1])
    shuffled = rng.permutation(len(names))
    for u in shuffled[np.argsort(-size[shuffled], kind="stable")]:
        # all rows decide where rows of the class do not
        k = np.lexsort((total, held[main[u]]))[0]
        fold[u] = k
        held[main[u], k] += size[u]
        total[k] += size[u]
    # the largest units went first: which number their folds bear must be chance
    return rng.permutation(count)[fold][unit]


def units_of(ids: NDArray[np.int64], groups: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """What must not be torn apart: rows of one group, or of one image (equal ids).

    Args:
        ids: [n].
        groups: [n], -1 where none is known (such a row stands with its id); or None.

    Returns:
        int64 [n], equal where rows belong together; None where every row stands by itself.
    """
    _, image = np.unique(ids, return_inverse=True)
    if groups is None or (groups == -1).all():
        return None if len(image) == 0 or image.max() + 1 == len(ids) else image.astype(np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # an image joins the rows of its groups, whichever of its rows has one
    named, group = np.unique(groups, return_inverse=True)
    known = groups != -1
    images = int(image.max()) + 1
    size = images + len(named)
    links = (np.ones(known.sum()), (image[known], images + group[known]))
    _, part = connected_components(coo_array(links, shape=(size, size)), directed=False)
    return part[image].astype(np.int64)


def part_of_units(size: int, seed: int, units: NDArray[np.int64]) -> NDArray[np.intp]:
    """Sorted rows of whole units, drawn until they are about `size` (at least one unit, never
    all)."""
    names, unit, rows = np.unique(units, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng([seed, 6]).permutation(len(names))
    total = np.cumsum(rows[drawn])
    count = int(np.clip(np.abs(total - size).argmin() + 1, 1, len(names) - 1))
    return np.flatnonzero(np.isin(unit, drawn[:count]))


def stratified(
    y: NDArray[np.int64], size: int, seed: int, *, at_least: int = 0
) -> NDArray[np.intp]:
    """About `size` sorted rows with the class shares of `y` (largest remainders), `at_least` so
    many of each class; exactly `size` rows where `at_least` is 0."""
    rng = np.random.default_rng([seed, 2])
    classes, counts = np.unique(y, return_counts=True)
    exact = counts * (size / len(y))
    take = np.floor(exact).astype(int)
    short = size - int(take.sum())
    take[np.argsort(take - exact, kind="stable")[:short]] += 1
    take = np.minimum(np.maximum(take, at_least), counts)
    chosen = [
        rng.permutation(np.flatnonzero(y == c))[:k] for c, k in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def shots(y: NDArray[np.int64], each: int, seed: int) -> NDArray[np.intp]:
    """Exactly `each` sorted rows of every class.

    Raises:
        ValueError: when a class has fewer.
    """
    classes, counts = np.unique(y, return_counts=True)
    each = check_int("shots", each, 1)
    if counts.min() < each:
        poor = int(classes[counts.argmin()])
        raise ValueError(
            f"shots: {each} images per class asked, class {poor} has {int(counts.min())}"
        )
    rng = np.random.default_rng([seed, 2])
    return np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(y == c))[:each] for c in classes])
    )
