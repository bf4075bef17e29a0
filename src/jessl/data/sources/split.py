"""Random division of a source by a hash of its ids, without dividing a group."""

from __future__ import annotations

import numpy as np

from jessl.core.hashing import splitmix64
from jessl.core.validation import check_float
from jessl.data.sources.base import Source
from jessl.data.sources.subset import Subset


def split_source(source: Source, share: float, seed: int) -> tuple[Subset, Subset]:
    """Divide a source at random into (rest, part).

    A hash of its id and the seed decides where an image goes, never its position, so the division
    does not depend on the order in which a source lists its images. Both parts keep that order.

    A group is never divided: it goes where the image with its smallest id would. `part` then gets
    whole groups, in random order those that fit into round(share * n) images; the room left over
    is smaller than the smallest group of `rest`. If no group fits, `part` is the smallest group.

    Args:
        source: the images.
        share: 0..1; without groups `part` gets exactly round(share * n) images.
        seed: different seeds give different divisions.

    Raises:
        ValueError: when share is outside 0..1, or all images are one group.

    Example:
        >>> train, held_out = split_source(open_source("digits"), 0.2, seed=0)
        >>> len(train), len(held_out)
        (1438, 359)
    """
    share = check_float("share", share, minimum=0, maximum=1)
    drawn = _draws(source, seed)
    order = np.lexsort((source.ids, drawn))
    count = round(share * len(source))
    if source.groups is not None and 0 < count < len(source):
        inside = _whole_groups(source, drawn, count)
        return Subset(source, np.flatnonzero(~inside)), Subset(source, np.flatnonzero(inside))
    return Subset(source, np.sort(order[count:])), Subset(source, np.sort(order[:count]))


def split_by_class(source: Source, count: int, seed: int) -> tuple[Subset, Subset]:
    """Divide labelled images at random into (rest, part) so that the classes have equal shares.

    Hashes decide as in `split_source`. Each class gives its share of `count`, rounded so that the
    sum is `count` (largest remainders, ties by the number of the class).

    Args:
        source: images that all have a label; groups are not regarded.
        count: images of `part`, 0 to all.
        seed: different seeds give different divisions.

    Raises:
        ValueError: for images without a label, or a count that is out of range.

    Example:
        train, held_out = split_by_class(open_source("digits"), 100, seed=0)
    """
    n = len(source)
    if source.labels is None or (source.labels < 0).any():
        raise ValueError(f"labels: expected one for each image of {source.name}")
    if not 0 <= count <= n:
        raise ValueError(f"count: expected 0 to {n}, the images of {source.name}, got {count}")
    _, label, sizes = np.unique(source.labels, return_inverse=True, return_counts=True)
    wanted = count * sizes / max(n, 1)
    taken = np.floor(wanted).astype(np.int64)
    order = np.lexsort((np.arange(len(sizes)), taken - wanted))
    taken[order[: count - taken.sum()]] += 1
    shuffled = np.lexsort((source.ids, _draws(source, seed), label))
    place = np.empty(n, dtype=np.int64)
    place[shuffled] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    inside = place < taken[label]
    return Subset(source, np.flatnonzero(~inside)), Subset(source, np.flatnonzero(inside))


def _draws(source: Source, seed: int) -> np.ndarray:
    """A random number for each image, by its id and the seed."""
    key = splitmix64(np.array([seed % 2**64], dtype=np.uint64))
    return splitmix64(source.ids.astype(np.uint64) ^ key)


def _whole_groups(source: Source, drawn: np.ndarray, count: int) -> np.ndarray:
    """Which images go into a part of at most `count` images made of whole groups: bool [n]."""
    assert source.groups is not None
    alone = source.groups == -1
    _, group = np.unique(source.groups, return_inverse=True)
    group[alone] = len(source) + np.arange(np.count_nonzero(alone))
    by_id = np.argsort(source.ids)
    _, first, group, sizes = np.unique(
        group[by_id], return_index=True, return_inverse=True, return_counts=True
    )
    if len(sizes) < 2:
        raise ValueError(
            f"groups: all {len(source)} images of {source.name} are one group, which no split "
            "divides"
        )
    first = by_id[first]  # the image with the smallest id
    order = np.lexsort((source.ids[first], drawn[first]))
    taken = np.zeros(len(sizes), dtype=bool)
    room = count
    for place, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= room:
            taken[place] = True
            room -= size
    if room == count:
        taken[order[np.argmin(sizes[order])]] = True
    inside = np.empty(len(source), dtype=bool)
    inside[by_id] = taken[group]
    return inside
