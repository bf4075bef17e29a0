"""Small images on a CPU: minutes on two cores, with the figures of this repository's records."""

from __future__ import annotations

import dataclasses

from jessl.config import Pretrain

__all__ = ["small", "small_digits", "small_digits_vicreg"]


def small(data: str) -> Pretrain:
    """SimCLR, a small net on CIFAR-10 or its like, 20 epochs on a CPU.

    Paper: none; the method: Chen et al. 2020, arXiv 2002.05709.
    Source: benchmarks/linear_probe.py of this repository.
    Rate: 2e-3, for a batch of 256.
    Expected: .574 +- .005 accuracy on CIFAR-10's test images (three seeds; logistic probe on
        20,000 training images, 18,000 of them trained on), against .390 untrained and .404 raw
        pixels: benchmarks/records/2026-11-22-linear-probe-cifar10.md. With all 50,000 images the
        training is longer and the number another.
    Hardware: two shared x86_64 cores, 457 seconds a seed with the probe.
    Command: jessl pretrain --recipe small --data torchvision:CIFAR10:train
    """
    return Pretrain(
        data=data,
        objective="simclr",
        objective_options={"temperature": 0.2},
        encoder="smallconv:32",
        views="simclr",
        epochs=20,
        batch_size=256,
        optimizer="adamw",
        lr=2e-3,
        weight_decay=1e-2,
    )


def small_digits(data: str) -> Pretrain:
    """SimCLR, a small net on the embedded digits, 41 epochs on a CPU.

    Paper: none; the method: Chen et al. 2020, arXiv 2002.05709.
    Source: `jessl demo` of this repository, temperature .15.
    Rate: 2e-3, for a batch of 256.
    Expected: .993 accuracy of a logistic probe on 359 images that neither was trained on (two
        seeds), against .967 untrained: benchmarks/records/2026-11-22-demo.md. The demo trains on
        1,438 of the images, this recipe on all that --holdout leaves.
    Hardware: two shared x86_64 cores, seconds.
    Command: jessl pretrain --recipe small_digits --data digits
    """
    return dataclasses.replace(
        small(data),
        objective_options={"temperature": 0.15},
        encoder="smallconv:16",
        view_options={"flip": 0.0},
        size=16,
        epochs=41,
    )


def small_digits_vicreg(data: str) -> Pretrain:
    """VICReg, a small net on the embedded digits, 41 epochs on a CPU.

    Paper: none; the method: Bardes et al. 2022, arXiv 2105.04906.
    Source: `jessl demo` of this repository, weight of the covariance 1.
    Rate: 2e-3, for a batch of 256.
    Expected: .994 accuracy as in `small_digits`, by the same record.
    Hardware: two shared x86_64 cores, seconds.
    Command: jessl pretrain --recipe small_digits_vicreg --data digits
    """
    return dataclasses.replace(
        small_digits(data), objective="vicreg", objective_options={"cov": 1.0}
    )
