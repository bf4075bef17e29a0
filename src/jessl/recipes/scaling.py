"""How a learning rate follows the batch."""

from __future__ import annotations


def peak(base_lr: float, batch_size: int) -> float:
    """The linear rule of Goyal et al. (2017): the rate for a batch of 256, scaled to the batch.

    Args:
        base_lr: peak rate for a batch of 256.
        batch_size: images per optimizer step, over all processes.
    """
    return base_lr * batch_size / 256
