"""The claims of Bordes et al. 2023: SimCLR with small batches, one negative, noise alone.

What the paper measured for each is not at hand (its tables were not read), so none of these
promises a number: they are the settings with which the claims can be put to the test.
"""

from __future__ import annotations

import dataclasses

from jessl.config import Pretrain
from jessl.recipes.scaling import peak
from jessl.recipes.simclr import simclr_resnet50_256, simclr_resnet50_adamw

__all__ = [
    "simclr_noise_only",
    "simclr_one_negative",
    "simclr_patch_negative",
    "simclr_small_batch",
]


def simclr_one_negative(data: str) -> Pretrain:
    """SimCLR with a single negative for each anchor.

    Paper: Bordes et al. 2023, arXiv 2303.01986, abstract: a single negative example is enough.
    Source: `simclr_resnet50_256`; one negative an anchor, drawn anew at each step.
    Rate: base 1.0 x batch / 256.
    Expected: no number published that is at hand.
    Hardware: as `simclr_resnet50_256`. Not run here.
    Differs: the paper's tuned rate and temperature for this case are not known here.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe simclr_one_negative \\
        --data imagenet/train
    """
    base = simclr_resnet50_256(data)
    return dataclasses.replace(base, objective_options={**base.objective_options, "negatives": 1})


def simclr_patch_negative(data: str) -> Pretrain:
    """SimCLR with one image patch as the only negative of the whole training.

    Paper: Bordes et al. 2023, arXiv 2303.01986, abstract: "a single image patch as negative".
    Source: `simclr_resnet50_256`; a pool of one patch, chosen by the seed.
    Rate: base 1.0 x batch / 256.
    Expected: no number published that is at hand.
    Hardware: as `simclr_resnet50_256`. Not run here.
    Differs: the paper's patch, rate and temperature for this case are not known here.
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe simclr_patch_negative \\
        --data imagenet/train
    """
    base = simclr_resnet50_256(data)
    return dataclasses.replace(base, objective_options={**base.objective_options, "pool": 1})


def simclr_noise_only(data: str) -> Pretrain:
    """SimCLR with Gaussian noise as the only augmentation.

    Paper: Bordes et al. 2023, arXiv 2303.01986, abstract: simple Gaussian noise as the only data
        augmentation for the positive pair.
    Source: `simclr_resnet50_256`; the views are the central square twice, with noise of its own.
    Rate: base 1.0 x batch / 256.
    Expected: no number published that is at hand.
    Hardware: as `simclr_resnet50_256`. Not run here.
    Differs: the paper's strength of the noise is not known here; sigma .1 of the pixel range is
        ours (--view-options sigma 0.2 changes it).
    Command: torchrun --nproc-per-node 8 -m jessl.cli pretrain --recipe simclr_noise_only \\
        --data imagenet/train
    """
    return dataclasses.replace(simclr_resnet50_256(data), views="gaussian_noise")


def simclr_small_batch(data: str) -> Pretrain:
    """SimCLR at a batch of 32, AdamW, one GPU.

    Paper: Bordes et al. 2023, arXiv 2303.01986: SimCLR does not need very large batches.
    Source: `simclr_resnet50_adamw` with the images of one of its eight GPUs; the batch of 32 is
        ours, the paper's smallest is not known here (`simclr_resnet50_256` is its published one).
    Rate: base 5e-4 x batch / 256.
    Expected: no number published that is at hand.
    Hardware: not run here.
    Command: jessl pretrain --recipe simclr_small_batch --data imagenet/train
    """
    return dataclasses.replace(simclr_resnet50_adamw(data), batch_size=32, lr=peak(5e-4, 32))
