"""SimCLR on ImageNet with a ResNet-50, as FFCV-SSL's scripts have it."""

from __future__ import annotations

import dataclasses

from jessl.config import Pretrain
from jessl.recipes.scaling import peak

__all__ = [
    "simclr_resnet50_256",
    "simclr_resnet50_2048",
    "simclr_resnet50_adamw",
    "simclr_resnet50_growing",
]


def simclr_resnet50_256(data: str) -> Pretrain:
    """SimCLR, ResNet-50, a batch of 256, LARS, 100 epochs.

    Paper: Bordes et al. 2023, arXiv 2303.01986: a batch of 256 is enough once the rate fits it.
    Source: facebookresearch/FFCV-SSL, examples/train_ssl.py: docstring of SimCLRLoss (LARS, weight
        decay 1e-6, temperature .15), 10 epochs of warm-up, projector 2048-512 by default; 100
        epochs as in assets/ffcv_vs_torchvision.jpg.
    Rate: base 1.0 x batch / 256; a smaller batch takes a higher base rate than 2048 does.
    Expected: no number published for these very settings. The chart, whose batch and optimizer are
        not stated, ends at 65.5 % top-1 on ImageNet's validation images (online linear probe; read
        off the picture, +- .4 points).
    Hardware: the chart's run took 12.0 hours on 8 A100s (+- .2). Not run here.
    Differs: their first view is always blurred and the second never; the preset `byol` blurs the
        second with probability .1. Their crops are always square (an error), these are not.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe simclr_resnet50_256 \\
        --data imagenet/train
    """
    return Pretrain(
        data=data,
        objective="simclr",
        objective_options={"temperature": 0.15, "projector": "2048-512"},
        encoder="torchvision:resnet50",
        views="byol",
        size=224,
        epochs=100,
        batch_size=256,
        optimizer="lars",
        lr=peak(1.0, 256),
        weight_decay=1e-6,
        warmup_epochs=10.0,
    )


def simclr_resnet50_2048(data: str) -> Pretrain:
    """SimCLR, ResNet-50, a batch of 2048, LARS, 100 epochs.

    Paper: Bordes et al. 2023, arXiv 2303.01986.
    Source: facebookresearch/FFCV-SSL, examples/train_ssl.py: docstring of SimCLRLoss; the rest as
        in `simclr_resnet50_256`.
    Rate: base 0.5 x batch / 256.
    Expected: no number published.
    Hardware: 256 images each on 8 GPUs, or --micro-batch-size on fewer. Not run here.
    Differs: as in `simclr_resnet50_256`.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe simclr_resnet50_2048 \\
        --data imagenet/train
    """
    return dataclasses.replace(simclr_resnet50_256(data), batch_size=2048, lr=peak(0.5, 2048))


def simclr_resnet50_growing(data: str) -> Pretrain:
    """SimCLR, ResNet-50, a batch of 256, LARS, views that grow from 160 to 224 pixels.

    Paper: Bordes et al. 2023, arXiv 2303.01986, figure 1.
    Source: as in `simclr_resnet50_256`; 160 pixels up to 70 % of the epochs, the last size from
        85 % on, the shares in examples/rn50_configs/rn50_baseline.yaml.
    Rate: base 1.0 x batch / 256.
    Expected: no number published for these very settings. The chart's run of 160 to 224 pixels
        ends at 65.4 % top-1 (online linear probe, read off, +- .4), that of one GPU at 64.0 %.
    Hardware: in the chart 8.2 hours on 8 A100s, 35.0 on one (+- .2). Not run here.
    Differs: as in `simclr_resnet50_256`.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe simclr_resnet50_growing \\
        --data imagenet/train
    """
    return dataclasses.replace(simclr_resnet50_256(data), start_size=160)


def simclr_resnet50_adamw(data: str) -> Pretrain:
    """SimCLR, ResNet-50, a batch of 256, AdamW, views that grow from 160 to 192 pixels.

    Paper: Bordes et al. 2023, arXiv 2303.01986.
    Source: facebookresearch/FFCV-SSL, the command in its README: rn50_baseline.yaml (weight decay
        1e-4, 160 to 192 pixels from epoch 70 to 85 of 100), AdamW, 32 images each on 8 GPUs,
        projector 8192-8192-8192; the temperature .5 is the script's default.
    Rate: base 5e-4 x batch / 256.
    Expected: no number published for it (the chart of the repository grows to 224 pixels).
    Hardware: 8 GPUs in the source. Not run here.
    Differs: views as in `simclr_resnet50_256`; their weight decay acts on biases and on the
        projector's batch norm as well.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe simclr_resnet50_adamw \\
        --data imagenet/train
    """
    return dataclasses.replace(
        simclr_resnet50_256(data),
        objective_options={"temperature": 0.5, "projector": "8192-8192-8192"},
        size=192,
        start_size=160,
        optimizer="adamw",
        lr=peak(5e-4, 256),
        weight_decay=1e-4,
    )
