"""Vision transformers, trained with AdamW: LARS collapses on them (stable-pretraining)."""

from __future__ import annotations

import dataclasses

from jessl.config import Pretrain
from jessl.recipes.scaling import peak

__all__ = [
    "barlow_twins_vit_imagenette",
    "dino_vit_small",
    "lejepa_vit_imagenette",
    "simclr_vit_imagenette",
    "visreg_vit_imagenette",
]


def barlow_twins_vit_imagenette(data: str) -> Pretrain:
    """Barlow Twins, ViT-S/16 on Imagenette, AdamW, 200 epochs.

    Paper: Zbontar et al. 2021, arXiv 2103.03230.
    Source: stable-pretraining, benchmarks/imagenet10: barlow-vit-small.py (AdamW, weight decay
        .05, projector 2048-2048-2048, lambda .0051, batch 256) and RESULTS.md (200 epochs).
    Rate: base 5e-4 x batch / 256.
    Expected: 83.0 % top-1 on Imagenette, online linear probe, best epoch (RESULTS.md; one run).
    Hardware: one A100, at most 6 hours in the source. Not run here.
    Differs: their AdamW has betas .9, .95, here .9, .999; the warm-up of 10 epochs is ours.
    Command: jessl pretrain --recipe barlow_twins_vit_imagenette --data imagenette2/train
    """
    return Pretrain(
        data=data,
        objective="barlow_twins",
        objective_options={"projector": "2048-2048-2048", "lambd": 5.1e-3},
        encoder="timm:vit_small_patch16_224",
        views="byol",
        size=224,
        epochs=200,
        batch_size=256,
        optimizer="adamw",
        lr=peak(5e-4, 256),
        weight_decay=0.05,
        warmup_epochs=10.0,
    )


def simclr_vit_imagenette(data: str) -> Pretrain:
    """SimCLR, ViT-S/16 on Imagenette, AdamW, 200 epochs.

    Paper: Chen et al. 2020, arXiv 2002.05709.
    Source: stable-pretraining, benchmarks/imagenet10: simclr-vit-small.py (temperature .2,
        projector 2048-2048-256, batch 256), AdamW as in `barlow_twins_vit_imagenette`.
    Rate: base 5e-4 x batch / 256.
    Expected: no number published for AdamW. RESULTS.md has 74.9 % (online linear probe, best
        epoch) by a script that takes LARS, base rate .3 with eta .02.
    Hardware: one A100, at most 6 hours in the source. Not run here.
    Command: jessl pretrain --recipe simclr_vit_imagenette --data imagenette2/train
    """
    return dataclasses.replace(
        barlow_twins_vit_imagenette(data),
        objective="simclr",
        objective_options={"projector": "2048-2048-256", "temperature": 0.2},
    )


def dino_vit_small(data: str) -> Pretrain:
    """DINO, ViT-S/16, 100 epochs, two global and eight local crops.

    Paper: Caron et al. 2021, arXiv 2104.14294.
    Source: facebookresearch/dino, "Vanilla DINO training" in its README and the defaults of
        main_dino.py: 64 images each on 8 GPUs, 65536 prototypes, teacher's momentum .996.
    Rate: base 5e-4 x batch / 256.
    Expected: 69.3 % top-1 on ImageNet by k-NN, about 73.8 % by a linear probe (README).
    Hardware: 1.75 days on 8 GPUs in the source. Not run here.
    Differs: weight decay is .04 all along (theirs grows to .4 by cosine); the norm of all
        gradients is clipped at 3 (theirs tensor by tensor); no stochastic depth (theirs .1); heads
        have ReLU and batch norm (theirs GELU).
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe dino_vit_small \\
        --data imagenet/train
    """
    return Pretrain(
        data=data,
        objective="dino",
        objective_options={"projector": "2048-2048-256", "prototypes": 65536},
        encoder="timm:vit_small_patch16_224",
        views="dino",
        size=224,
        epochs=100,
        batch_size=512,
        optimizer="adamw",
        lr=peak(5e-4, 512),
        weight_decay=0.04,
        warmup_epochs=10.0,
        clip_norm=3.0,
        ema_start=0.996,
    )


def lejepa_vit_imagenette(data: str) -> Pretrain:
    """LeJEPA, ViT-S/8 on Imagenette at 128 pixels, four views, 800 epochs.

    Paper: Balestriero and LeCun 2025, arXiv 2511.08544.
    Source: rbalestr-lab/lejepa, MINIMAL.md: lambda .02, four views of (.08, 1), projector
        2048-2048-16, AdamW with weight decay .05, batch 256, one epoch of warm-up, bfloat16.
    Rate: 2e-3, not scaled.
    Expected: 90.7 % top-1 on Imagenette, online linear probe (MINIMAL.md).
    Hardware: 200 minutes on one GPU in the source ("about 2h" elsewhere on its page). Not run here.
    Differs: the representation is the transformer's 384 features (theirs: a linear layer to 512 of
        them); no stochastic depth (theirs .1), no solarization (theirs .2 in all views); the rate
        ends at a thousandth of its peak (theirs: at half).
    Command: jessl pretrain --recipe lejepa_vit_imagenette --data imagenette2-160/train
    """
    return Pretrain(
        data=data,
        objective="lejepa",
        objective_options={"projector": "2048-2048-16", "lambd": 0.02},
        encoder="timm:vit_small_patch8_224",
        views="multicrop",
        view_options={"num_global": 4, "num_local": 0, "global_min_scale": 0.08},
        size=128,
        epochs=800,
        batch_size=256,
        optimizer="adamw",
        lr=2e-3,
        weight_decay=0.05,
        warmup_epochs=1.0,
    )


def visreg_vit_imagenette(data: str) -> Pretrain:
    """VISReg, ViT-S/8 on Imagenette at 128 pixels, four views, 800 epochs.

    Paper: Wu, Balestriero and Levine 2026, arXiv 2606.02572.
    Source: HaiyuWu/visreg, configs/imagenette.yaml, train_inet10_toy.py and visreg/data: lambda .6,
        4096 directions, four views of (.08, 1), projector 2048-2048-128, AdamW with weight decay
        .05, batch 64, one epoch of warm-up, gradients clipped at 1.
    Rate: 1e-3, not scaled.
    Expected: no number published for this file.
    Hardware: not stated in the source. Not run here.
    Differs: no stochastic depth (theirs .1), colours as in `lejepa_vit_imagenette`.
    Command: jessl pretrain --recipe visreg_vit_imagenette --data imagenette2-160/train
    """
    return dataclasses.replace(
        lejepa_vit_imagenette(data),
        objective="visreg",
        objective_options={"projector": "2048-2048-128", "lambd": 0.6, "directions": 4096},
        batch_size=64,
        lr=1e-3,
        clip_norm=1.0,
    )
