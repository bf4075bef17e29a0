"""The largest part of a batch whose activations fit in the memory of a GPU."""

from __future__ import annotations

import torch

from jessl.training.step import Trainer
from jessl.training.tuning.speed import OptimizerFactory
from jessl.training.tuning.trial import TimedBatch, copy_trainer


def fitting_micro_batch(
    trainer: Trainer, batch: TimedBatch, optimizer: OptimizerFactory
) -> int | None:
    """Images that can go through the encoder at a time: None for all, else the batch halved.

    A step on copies is tried with the whole batch, and with halves of it while the memory does not
    suffice. The loss and its gradient stay those of the whole batch (`gradient_cache`).

    Args:
        trainer: left untouched.
        batch: of the size of the training's.
        optimizer: makes an optimizer.

    Raises:
        ValueError: where two images at a time do not fit.
    """
    micro_batch = None
    while True:
        try:
            trial = copy_trainer(trainer, optimizer)
            trial.micro_batch = micro_batch
            trial.take_step(batch.views, batch.labels, batch.targets)
            return micro_batch
        except torch.OutOfMemoryError:
            micro_batch = (micro_batch or len(batch)) // 2
        del trial
        if trainer.device.type == "cuda":
            torch.cuda.empty_cache()
        if micro_batch < 2:
            raise ValueError(
                "batch_size: not even two images fit in the memory of the GPU; take a smaller "
                "encoder or smaller views, or add --grad-checkpointing"
            )
