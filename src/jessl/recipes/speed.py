"""A speed record to beat: CIFAR-10 on one GPU."""

from __future__ import annotations

from jessl.config import Pretrain

__all__ = ["speedrun_cifar10"]


def speedrun_cifar10(data: str) -> Pretrain:
    """SimCLR, the net of the speed records, CIFAR-10, 100 epochs on one GPU in minutes.

    Paper: the net: Jordan 2024, arXiv 2404.00498; the method and its views on CIFAR-10 (jitter of
        half the strength, no blur): Chen et al. 2020, arXiv 2002.05709, appendix B.9.
    Source: benchmarks/speedrun.py of this repository; temperature .2 as in solo-learn's CIFAR-10.
    Rate: 4e-3, for a batch of 1024.
    Expected: no number at hand; not measured on a GPU yet.
    Hardware: one GPU, on which all images and views lie; not run here.
    Command: jessl pretrain --recipe speedrun_cifar10 --data torchvision:CIFAR10:train
    """
    return Pretrain(
        data=data,
        objective="simclr",
        objective_options={"temperature": 0.2, "projector": "1024-128"},
        encoder="airbench",
        views="simclr",
        size=32,
        epochs=100,
        batch_size=1024,
        optimizer="adamw",
        lr=4e-3,
        weight_decay=1e-2,
        warmup_epochs=5,
        channels_last=True,
        compile=True,
    )
