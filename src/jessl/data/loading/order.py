"""In which order an epoch sees its images: shuffled whole, or by shards and windows."""

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
        shuffle: False gives the order of the source.
        window: None permutes all images. A number permutes the shards, and the images inside of
            windows that hold whole shards or at least `window` images, so that a disk is read
            shard by shard; see `shuffle_quality`.
        segments: int [n], the shard of each image.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    # a list of large and small numbers would become floats
    key = np.array([int(seed) % 2**64, int(epoch) % 2**64], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    if window is None or segments is None:
        return generator.permutation(n)
    # shards in a random order, one behind the other, their images in that of the shard
    shards, number = np.unique(segments, return_inverse=True)
    rank = generator.permutation(len(shards))[number]
    in_shards = np.argsort(rank, kind="stable")
    # the first window is of random length, so that no two epochs have their borders alike
    shift = int(generator.integers(window))
    block = (np.arange(n, dtype=np.int64) + shift) // window
    return in_shards[np.lexsort((generator.random(n), block))]


def shuffle_quality(order: np.ndarray) -> dict[str, float]:
    """How far an order is from that of the source, next to a full permutation.

    Returns:
        neighbour_correlation: Pearson's correlation of the source positions of neighbours in the
            order; 1 unshuffled, 0 in the mean of full permutations.
        displacement: mean distance |place in the order - position in the source| in shares of n/3,
            its mean over full permutations; 0 unshuffled, 1 at best.
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
