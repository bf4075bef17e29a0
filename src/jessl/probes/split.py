"""Seeded splits and samples of rows that preserve the shares of the classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import check_int, escape_control


def assign_folds(
    y: NDArray[np.int64], count: int, seed: int, units: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """A fold 0 .. count-1 for each row: every class is shuffled and dealt out to the folds in turn.

    The dealing continues from one class to the next, so that folds differ by at most one row.

    Args:
        y: [n] labels.
        count: folds, at least 2.
        seed: of the shuffle.
        units: [n] whole numbers; rows that share one stay in one fold. None: each row by itself.

    Raises:
        ValueError: for fewer units than folds.
    """
    if units is not None:
        return _assign_units(y, count, seed, units)
    rng = np.random.default_rng([seed, 1])
    place = np.empty(len(y), np.int64)
    order = np.concatenate([rng.permutation(np.flatnonzero(y == c)) for c in np.unique(y)])
    place[order] = np.arange(len(y)) % count
    return place


def _assign_units(
    y: NDArray[np.int64], count: int, seed: int, units: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Large units first, each to the fold with the fewest rows of its most frequent class."""
    names, unit = np.unique(units, return_inverse=True)
    if len(names) < count:
        raise ValueError(f"folds: expected at most {len(names)}, the number of groups, got {count}")
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
        # ties go to the fold with the fewest rows in all
        k = np.lexsort((total, held[main[u]]))[0]
        fold[u] = k
        held[main[u], k] += size[u]
        total[k] += size[u]
    # large units went to the first folds: shuffle the numbers of the folds
    return rng.permutation(count)[fold][unit]


def inseparable_units(
    ids: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> NDArray[np.int64] | None:
    """Rows that must stay on one side of a split: those of one group, or of one image (equal ids).

    Args:
        ids: [n].
        groups: [n], -1 where unknown (then only the id counts); or None.

    Returns:
        int64 [n], equal where rows belong together; None where every row is independent.
    """
    _, image = np.unique(ids, return_inverse=True)
    if groups is None or (groups == -1).all():
        return None if len(image) == 0 or image.max() + 1 == len(ids) else image.astype(np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # an image joins the groups of all its rows
    named, group = np.unique(groups, return_inverse=True)
    known = groups != -1
    images = int(image.max()) + 1
    size = images + len(named)
    links = (np.ones(known.sum()), (image[known], images + group[known]))
    _, part = connected_components(coo_array(links, shape=(size, size)), directed=False)
    units: NDArray[np.int64] = part[image].astype(np.int64)
    return units


def sample_units(size: int, seed: int, units: NDArray[np.int64]) -> NDArray[np.intp]:
    """About `size` sorted rows in whole units (at least one unit, never all)."""
    names, unit, rows = np.unique(units, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng([seed, 6]).permutation(len(names))
    total = np.cumsum(rows[drawn])
    count = int(np.clip(np.abs(total - size).argmin() + 1, 1, len(names) - 1))
    return np.flatnonzero(np.isin(unit, drawn[:count]))


def stratified_sample(
    y: NDArray[np.int64], size: int, seed: int, *, at_least: int = 0
) -> NDArray[np.intp]:
    """About `size` sorted rows with the class shares of `y` (largest remainders).

    Each class has `at_least` so many rows; with 0 there are exactly `size` rows.
    """
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


def sample_per_class(
    y: NDArray[np.int64], each: int, seed: int, names: Mapping[int, str] | None = None
) -> NDArray[np.intp]:
    """Exactly `each` sorted rows of every class.

    Args:
        y: [n] labels.
        each: rows of a class.
        seed: of the choice.
        names: number -> name of a class, for the message.

    Raises:
        ValueError: when a class has fewer.
    """
    classes, counts = np.unique(y, return_counts=True)
    each = check_int("shots", each, 1)
    if counts.min() < each:
        poor = int(classes[counts.argmin()])
        name = escape_control((names or {}).get(poor, f"class {poor}"))
        raise ValueError(
            f"shots: expected at most {int(counts.min())} images per class ({name}), got {each}"
        )
    rng = np.random.default_rng([seed, 2])
    return np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(y == c))[:each] for c in classes])
    )
