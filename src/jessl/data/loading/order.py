"""The order of the images in an epoch: shuffled as a whole, or by shards and windows."""

from __future__ import annotations

import numpy as np


def epoch_order(
    n: int,
    *,
    seed: int,
    epoch: int,
    shuffle: bool,
    window: int | None = None,
    segments: np.ndarray | None = None,
) -> np.ndarray:
    """Indices 0..n-1 in the order of an epoch: int64 [n], a function of the arguments alone.

    Args:
        shuffle: False keeps the order of the source.
        window: None permutes all images. A number permutes the shards, and then the images within
            windows of that many images, so that a disk is read shard by shard; see
            `shuffle_quality`.
        segments: int [n], the shard of each image.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    # as a list, large and small numbers would become floats
    key = np.array([int(seed) % 2**64, int(epoch) % 2**64], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    if window is None or segments is None:
        return generator.permutation(n)
    # shards in random order, the images of each in its own order
    shards, number = np.unique(segments, return_inverse=True)
    rank = generator.permutation(len(shards))[number]
    in_shards = np.argsort(rank, kind="stable")
    # the first window has a random length, so that the borders differ from epoch to epoch
    shift = int(generator.integers(window))
    block = (np.arange(n, dtype=np.int64) + shift) // window
    return in_shards[np.lexsort((generator.random(n), block))]


def shuffle_quality(order: np.ndarray) -> dict[str, float]:
    """How far an order is from that of the source, compared with a full permutation.

    Returns:
        neighbour_correlation: Pearson's correlation between the source positions of neighbours in
            the order; 1 unshuffled, 0 on average for full permutations.
        displacement: mean of |position in the order - position in the source|, divided by n/3,
            its mean over full permutations; 0 unshuffled, 1 for a full permutation on average.
    """
    n = len(order)
    if n < 3:
        return {"neighbour_correlation": float("nan"), "displacement": float("nan")}
    distance = np.abs(order - np.arange(n)).mean()
    with np.errstate(invalid="ignore"):
        correlation = np.corrcoef(order[:-1], order[1:])[0, 1]
    return {
        "neighbour_correlation": float(correlation),
        "displacement": float(distance / (n / 3)),
    }
