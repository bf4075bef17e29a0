"""CISSL and DISSL by Dubois et al. 2022: Tiny ImageNet with a ResNet-18, ImageNet with a ResNet-50.

The steps of their table on Tiny ImageNet add up: 2,048 features instead of 512, 1,000 epochs
instead of 300, coarser augmentations. Its numbers are from one seed, with the best of three
penalties of the probe, chosen on the same images that it is tested on.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from jessl.config import Pretrain
from jessl.recipes.scaling import peak

__all__ = [
    "cissl_tiny",
    "cissl_tiny_coarse",
    "cissl_tiny_dim",
    "cissl_tiny_long",
    "dissl_resnet50",
    "dissl_resnet50_8192",
    "dissl_resnet50_multicrop",
    "dissl_tiny",
    "dissl_tiny_coarse",
    "dissl_tiny_dim",
    "dissl_tiny_long",
    "simclr_tiny",
]


if TYPE_CHECKING:
    from jessl.recipes import RecipeFunction


def dissl_tiny(data: str) -> Pretrain:
    """DISSL, ResNet-18 on Tiny ImageNet at 64 pixels, 300 epochs.

    Paper: Dubois et al. 2022, arXiv 2209.06235.
    Source: YannDubs/Invariant-Self-Supervised-Learning, bin/tinyimagenet and configurations:
        16,384 classes, lambda 2.3, beta .8, temperatures .5 (teacher) and 1, batch 256, Adam,
        weight decay 1e-6, 10 epochs of warm-up; augmentations of strength 1.
    Rate: 2e-3, not scaled.
    Expected: 45.1 % top-1 on Tiny ImageNet, linear probe (README; one seed, see above).
    Hardware: not stated in the source. Not run here.
    Differs: weight decay is AdamW's (p - lr wd p), theirs Adam's (wd p added to the gradient
        before it is normalised); at 1e-6 AdamW's is next to none. Gradients are not clipped
        (theirs value by value at 2). The stem has no max-pool (theirs has one).
    Command: jessl pretrain --recipe dissl_tiny --data tiny-imagenet-200/train
    """
    return Pretrain(
        data=data,
        objective="dissl",
        objective_options={
            "classes": 16384,
            "lambd": 2.3,
            "beta": 0.8,
            "student_temperature": 1.0,
            "teacher_temperature": 0.5,
            "projector": "1024-512",
        },
        encoder="torchvision:resnet18",
        stem="small",
        views="coarse",
        view_options={"strength": 1.0},
        size=64,
        epochs=300,
        batch_size=256,
        optimizer="adamw",
        lr=2e-3,
        weight_decay=1e-6,
        warmup_epochs=10.0,
    )


def cissl_tiny(data: str) -> Pretrain:
    """CISSL, ResNet-18 on Tiny ImageNet at 64 pixels, 300 epochs.

    Paper: Dubois et al. 2022, arXiv 2209.06235.
    Source: as `dissl_tiny`; temperature .07, teacher 1024-128, linear student, batch 512.
    Rate: 2e-3, not scaled.
    Expected: 45.8 % top-1 on Tiny ImageNet, linear probe (README; one seed, see above).
    Hardware: not stated in the source. Not run here.
    Differs: as `dissl_tiny`.
    Command: jessl pretrain --recipe cissl_tiny --data tiny-imagenet-200/train
    """
    return dataclasses.replace(
        dissl_tiny(data),
        objective="cissl",
        objective_options={"temperature": 0.07, "projector": "1024-128", "student_head": "linear"},
        batch_size=512,
    )


# step of the table: (what it adds, its name there, the paper's claim, the changed fields)
_STEPS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "dim": ("2,048 features", '"+ dim"', "a linear probe needs many dimensions", {"dim": 2048}),
    "long": ("1,000 epochs", '"+ epochs"', "longer training", {"epochs": 1000}),
    "coarse": (
        "coarse augmentations",
        '"+ aug" (strength 2, blur .5)',
        "coarser augmentations need fewer labels",
        {"view_options": {"strength": 2.0}},
    ),
}
_PROMISE = """{method} on Tiny ImageNet with {added}.

    Paper: Dubois et al. 2022, arXiv 2209.06235: {claim}.
    Source: as `{first}`; {steps} of the table.
    Rate: 2e-3, not scaled.
    Expected: {expected} % top-1 (README; one seed).
    Hardware: not stated in the source. Not run here.
    Differs: as `dissl_tiny`.
    Command: jessl pretrain --recipe {name} --data tiny-imagenet-200/train
    """


def _step(before: RecipeFunction, step: str, expected: float) -> RecipeFunction:
    """The recipe one step of the table after `before`, with its promise."""

    def recipe(data: str) -> Pretrain:
        return dataclasses.replace(before(data), **_STEPS[step][3])

    first = "_".join(before.__name__.split("_")[:2])
    so_far = [_STEPS[s] for s in list(_STEPS)[: list(_STEPS).index(step) + 1]]
    recipe.__name__ = recipe.__qualname__ = f"{first}_{step}"
    recipe.__doc__ = _PROMISE.format(
        method=first.partition("_")[0].upper(),
        added=", ".join(one[0] for one in so_far),
        claim=_STEPS[step][2],
        first=first,
        steps=", ".join(one[1] for one in so_far),
        expected=expected,
        name=recipe.__name__,
    )
    return recipe


dissl_tiny_dim = _step(dissl_tiny, "dim", 48.0)
dissl_tiny_long = _step(dissl_tiny_dim, "long", 49.0)
dissl_tiny_coarse = _step(dissl_tiny_long, "coarse", 50.7)
cissl_tiny_dim = _step(cissl_tiny, "dim", 47.6)
cissl_tiny_long = _step(cissl_tiny_dim, "long", 48.7)
cissl_tiny_coarse = _step(cissl_tiny_long, "coarse", 51.2)


def simclr_tiny(data: str) -> Pretrain:
    """SimCLR on Tiny ImageNet: the baseline of CISSL.

    Paper: Dubois et al. 2022, arXiv 2209.06235, table of contrastive methods.
    Source: as `cissl_tiny`; one head 1024-128 for both views, temperature .07.
    Rate: 2e-3, not scaled.
    Expected: 45.2 % top-1 (README; one seed).
    Hardware: not stated in the source. Not run here.
    Differs: as `dissl_tiny`; no batch norm after the head's last layer.
    Command: jessl pretrain --recipe simclr_tiny --data tiny-imagenet-200/train
    """
    return dataclasses.replace(
        cissl_tiny(data),
        objective="simclr",
        objective_options={"temperature": 0.07, "projector": "1024-128"},
    )


def dissl_resnet50(data: str) -> Pretrain:
    """DISSL, ResNet-50 on ImageNet, 100 epochs, two views.

    Paper: Dubois et al. 2022, arXiv 2209.06235.
    Source: the authors' VISSL configurations: 16,384 classes, lambda 2.3, beta .6, teacher
        2048-2048 to a bottleneck of 512, SGD with LARC, weight decay 1e-6, batch 2560 (8 x 320),
        10 epochs of warm-up; crops (.08, 1), SimCLR's colours, blur .5.
    Rate: base 0.3 x batch / 256.
    Expected: 66.9 % top-1, 87.5 % top-5 on ImageNet, linear probe (README).
    Hardware: 8 A100s, float16, time not stated in the source. Not run here.
    Differs: LARS for LARC, whose rates are capped there and not here; the teacher's head has no
        residual connection.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe dissl_resnet50 \\
        --data imagenet/train
    """
    return Pretrain(
        data=data,
        objective="dissl",
        objective_options={
            "classes": 16384,
            "lambd": 2.3,
            "beta": 0.6,
            "student_temperature": 1.0,
            "teacher_temperature": 0.5,
            "projector": "2048-2048-512",
        },
        encoder="torchvision:resnet50",
        views="simclr",
        size=224,
        epochs=100,
        batch_size=2560,
        optimizer="lars",
        lr=peak(0.3, 2560),
        weight_decay=1e-6,
        warmup_epochs=10.0,
    )


def dissl_resnet50_8192(data: str) -> Pretrain:
    """DISSL, ResNet-50 with 8,192 features on ImageNet, 100 epochs, two views.

    Paper: Dubois et al. 2022, arXiv 2209.06235.
    Source: as `dissl_resnet50`; 8,192 features by the expansion before the pooling.
    Rate: base 0.3 x batch / 256.
    Expected: 68.9 % top-1, 88.5 % top-5 on ImageNet, linear probe (README).
    Hardware: 8 A100s, float16, time not stated in the source. Not run here.
    Differs: as `dissl_resnet50`; their teacher's head begins with 512 (8192-512-2048-2048-512).
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe dissl_resnet50_8192 \\
        --data imagenet/train
    """
    return dataclasses.replace(dissl_resnet50(data), dim=8192)


def dissl_resnet50_multicrop(data: str) -> Pretrain:
    """DISSL, ResNet-50 with 8,192 features on ImageNet, 400 epochs, 2 x 160 and 4 x 96 pixels.

    Paper: Dubois et al. 2022, arXiv 2209.06235.
    Source: as `dissl_resnet50_8192`; global crops of (.14, 1), local ones of (.05, .14), the
        teacher sees the global ones alone.
    Rate: base 0.3 x batch / 256.
    Expected: 74.0 % top-1, 91.9 % top-5 on ImageNet, linear probe (README).
    Hardware: 8 A100s, float16, time not stated in the source. Not run here.
    Differs: as `dissl_resnet50_8192`.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe dissl_resnet50_multicrop \\
        --data imagenet/train
    """
    return dataclasses.replace(
        dissl_resnet50_8192(data),
        views="multicrop",
        view_options={"local_size": 96, "num_local": 4},
        size=160,
        epochs=400,
    )
