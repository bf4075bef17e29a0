"""VICReg on ImageNet with a ResNet-50: FFCV-SSL's settings and the authors' own."""

from __future__ import annotations

import dataclasses

from jessl.config import Pretrain
from jessl.recipes.scaling import peak

__all__ = ["vicreg_resnet50_256", "vicreg_resnet50_2048", "vicreg_resnet50_authors"]


def vicreg_resnet50_256(data: str) -> Pretrain:
    """VICReg, ResNet-50, a batch of 256, LARS, 100 epochs.

    Paper: Bordes et al. 2023, arXiv 2303.01986; the method: Bardes et al. 2022, arXiv 2105.04906.
    Source: facebookresearch/FFCV-SSL, examples/train_ssl.py: docstring of VicRegLoss (LARS, weight
        decay 1e-4, weights 25, 25, 1), 10 epochs of warm-up. It names no expander: this is that
        of the paper, 8192-8192-8192.
    Rate: base 1.5 x batch / 256. The authors of VICReg took .5 for 256 and advise a higher base
        rate for smaller batches as well (facebookresearch/vicreg, issue 21).
    Expected: no number published.
    Hardware: not run here.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe vicreg_resnet50_256 \\
        --data imagenet/train
    """
    return Pretrain(
        data=data,
        objective="vicreg",
        objective_options={"inv": 25.0, "var": 25.0, "cov": 1.0, "projector": "8192-8192-8192"},
        encoder="torchvision:resnet50",
        views="vicreg",
        size=224,
        epochs=100,
        batch_size=256,
        optimizer="lars",
        lr=peak(1.5, 256),
        weight_decay=1e-4,
        warmup_epochs=10.0,
    )


def vicreg_resnet50_2048(data: str) -> Pretrain:
    """VICReg, ResNet-50, a batch of 2048, LARS, 100 epochs.

    Paper: Bordes et al. 2023, arXiv 2303.01986.
    Source: facebookresearch/FFCV-SSL, examples/train_ssl.py: docstring of VicRegLoss; the rest as
        in `vicreg_resnet50_256`.
    Rate: base 0.5 x batch / 256.
    Expected: no number published.
    Hardware: not run here.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe vicreg_resnet50_2048 \\
        --data imagenet/train
    """
    return dataclasses.replace(vicreg_resnet50_256(data), batch_size=2048, lr=peak(0.5, 2048))


def vicreg_resnet50_authors(data: str) -> Pretrain:
    """VICReg, ResNet-50, the authors' 1000 epochs at a batch of 2048.

    Paper: Bardes et al. 2022, arXiv 2105.04906.
    Source: facebookresearch/vicreg, the command in its README and the defaults of main_vicreg.py:
        LARS, weight decay 1e-6, 25, 25, 1, expander 8192-8192-8192, 10 epochs of warm-up.
    Rate: base 0.2 x batch / 256.
    Expected: 73.2 % top-1 on ImageNet's validation images, linear probe (README).
    Hardware: 4 nodes of 8 GPUs in the source, time not stated. Not run here.
    Differs: they project the two views apart, so their heads' batch norm sees each view alone.
    Command: torchrun --nnodes 4 --nproc-per-node 8 -m jessl.cli pretrain \\
        --recipe vicreg_resnet50_authors --data imagenet/train
    """
    return dataclasses.replace(
        vicreg_resnet50_256(data),
        epochs=1000,
        batch_size=2048,
        lr=peak(0.2, 2048),
        weight_decay=1e-6,
    )
