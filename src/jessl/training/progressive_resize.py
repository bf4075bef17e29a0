"""A resolution that grows: most of a training sees small images, its end large ones.

FFCV-SSL's ResNet-50 recipe of 100 epochs trains at 160 pixels, grows from epoch 70 on and is at
its last size at epoch 85.
"""

from __future__ import annotations

BEGINS, ENDS = 0.70, 0.85


def side(epoch: int, *, epochs: int, first: int, last: int) -> int:
    """Side of the views in an epoch, pixels: `first`, then in even steps to `last`.

    Multiples of 32 where both ends are, so that all strides of an encoder divide it, else of 2.

    Args:
        epoch: 0..epochs - 1.
        epochs: of the training.
        first, last: sides at the beginning and the end, pixels.
    """
    done = (epoch / epochs - BEGINS) / (ENDS - BEGINS)
    if done <= 0:
        return first
    if done >= 1:
        return last
    unit = 32 if first % 32 == 0 and last % 32 == 0 else 2
    grown = first + done * (last - first)
    return min(last, max(first, round(grown / unit) * unit))


def mean_cost(start: int, *, epochs: int, first: int, last: int) -> float:
    """Mean area of the views from an epoch to the end, over the area in that epoch."""
    areas = [side(k, epochs=epochs, first=first, last=last) ** 2 for k in range(start, epochs)]
    return sum(areas) / len(areas) / areas[0] if areas else 1.0
