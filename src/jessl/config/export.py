"""Options of `jessl.export`."""

from __future__ import annotations

from dataclasses import dataclass

EXPORT_FORMATS = ("timm", "torchvision", "transformers", "onnx", "torch")
# the file that makes a folder an export: others in it have names that runs use too
EXPORT_DESCRIPTION = "jessl.json"


@dataclass(frozen=True, kw_only=True)
class Export:
    """Which encoder is written, where, and for which library.

    Attributes:
        encoder: a run folder or RUN/checkpoints/step-N, a file of weights of any library
            (ckpt:PATH, ckpt:PATH@ARCH, or the path), smallconv[:WIDTH], resnet_cifar:LAYERS,
            timm:NAME, torchvision:NAME, hf:NAME, an earlier export, or a folder that jessl finetune
            or classify wrote: the encoder that it kept.
        out: folder to write: a new or an empty one.
        format: timm (a folder for timm.create_model), torchvision (a state dict), transformers (a
            folder for AutoModel), onnx, or torch (a program of torch.export). None: timm where it
            can hold the encoder, else torch (transformers for hf:NAME).
        projector: write the projector of the run's objective too; formats onnx and torch only.
        head: write the classifier of a folder of jessl finetune or classify, or of a run that was
            trained with labels (objective supervised), and the names of its classes too; formats
            timm, onnx and torch.
        overwrite: replace an earlier export in `out`.
        init: weights of a named encoder: a file, "random" (drawn from `seed`), or the published
            ones where it is left out.
        stem: small or standard, for ResNets by name.
        size: side of the input in pixels, for encoders by name.
        arch: architecture of a file of weights, such as timm:resnet50; None: inferred from its
            tensors.
        key: prefix of the tensors to use from a file that holds several encoders.
        seed: random seed of weights.
    """

    encoder: str
    out: str
    format: str | None = None
    projector: bool = False
    head: bool = False
    overwrite: bool = False
    init: str | None = None
    stem: str | None = None
    size: int | None = None
    arch: str | None = None
    key: str | None = None
    seed: int = 0
