"""BYOL by its authors: ImageNet at a batch of 4096, and Imagenette on one GPU."""

from __future__ import annotations

import dataclasses

from jessl.config import Pretrain
from jessl.recipes.scaling import peak

__all__ = ["byol_imagenette", "byol_resnet50"]


def byol_resnet50(data: str) -> Pretrain:
    """BYOL, ResNet-50, 1000 epochs at a batch of 4096.

    Paper: Grill et al. 2020, arXiv 2006.07733.
    Source: google-deepmind/deepmind-research, byol/configs/byol.py: LARS, weight decay 1.5e-6 and
        momentum .996 for 1000 epochs, heads 4096-256, 10 epochs of warm-up.
    Rate: base 0.2 x batch / 256.
    Expected: 74.0 to 74.5 % top-1 on ImageNet, linear probe (README).
    Hardware: about 8 hours on 512 TPU v3 in the source. Not run here.
    Differs: they project the two views apart, so their heads' batch norm sees each view alone.
    Command: torchrun --nnodes 8 --nproc-per-node 8 -m jessl.cli pretrain \\
        --recipe byol_resnet50 --data imagenet/train
    """
    return Pretrain(
        data=data,
        objective="byol",
        objective_options={"projector": "4096-256", "predictor": "4096-256"},
        encoder="torchvision:resnet50",
        views="byol",
        size=224,
        epochs=1000,
        batch_size=4096,
        optimizer="lars",
        lr=peak(0.2, 4096),
        weight_decay=1.5e-6,
        warmup_epochs=10.0,
        ema_start=0.996,
    )


def byol_imagenette(data: str) -> Pretrain:
    """BYOL, ResNet-18 on Imagenette at 128 pixels, one GPU.

    Paper: Grill et al. 2020, arXiv 2006.07733.
    Source: google-deepmind/deepmind-research, byol/README.md, "Setup for fast iteration": the
        settings of 1000 epochs with ResNet-18, batch 256, weight decay 1e-6, on imagenette/160px.
    Rate: base 2.0 x batch / 256.
    Expected: about 92.3 % top-1, online linear probe (README; "not finely tuned").
    Hardware: about 4 hours on one V100 in the source. Not run here.
    Differs: as `byol_resnet50`.
    Command: jessl pretrain --recipe byol_imagenette --data imagenette2-160/train
    """
    return dataclasses.replace(
        byol_resnet50(data),
        encoder="torchvision:resnet18",
        size=128,
        batch_size=256,
        lr=peak(2.0, 256),
        weight_decay=1e-6,
    )
