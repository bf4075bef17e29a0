"""Options of `jessl.finetune`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FINETUNE_KEEP = ("better", "finetuned", "probe")
FINETUNE_HEADS = ("probe", "random")


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Which encoder is trained on with which labels, and what is kept of it.

    Example:
        jessl.finetune(jessl.Finetune(data="photos", labels="few.csv", init="my-run", out="tuned"))

    Attributes:
        data: SRC, the images: those with labels and those without.
        out: folder to write: a new or an empty one, or that of the same command, which continues.
        init: the encoder to start from: a run folder or one of its checkpoints, timm:NAME or
            torchvision:NAME with the published weights, an export, or ckpt:FILE[@ARCH].
        labels: CSV file with the columns path,label, for some of the images; None: the labels that
            SRC has of its own.
        allow_missing: leave out labels of images that SRC lacks, instead of refusing them.
        x_key: name of the images in an .npz file.
        y_key: name of the labels in an .npz file.
        bits: bits in use of images stored in more than 8 bits a channel, 9 to 16.
        value_range: the stored values that become black and white, instead of `bits`. On the
            command line: --range LOW HIGH.
        keep: better (the one that is more accurate on held-out images, the frozen probe where both
            are equally accurate), finetuned or probe.
        folds: parts of the labelled images, each compared on by a network that was trained on the
            others, at the cost of a training each; 1: one part alone is compared on, a quarter or a
            fifth of them. None: 4, and 1 from 2,000 labelled images on.
        refit: train what is kept again, on all labelled images.
        head: probe (the classifier starts as the probe of the frozen encoder) or random.
        size: side of the input in pixels, for encoders by name.
        epochs: passes over the labelled images; None: about 400 steps, 10 to 100 epochs.
        batch_size: images of a step; None: a quarter of them, a power of two up to 64.
        lr: peak learning rate of the classifier, by AdamW.
        layer_decay: factor of the rate from each block of the encoder to the one before it, above
            0 and up to 1.
        weight_decay: decay of the weights by AdamW, >= 0.
        ema_weights: momentum of the average of the weights, which is what is kept; in [0, 1).
        label_smoothing: share of the target that all classes get, from 0 to less than 1.
        min_scale: smallest share of an image's area in a crop.
        flip: probability of a horizontal flip; None: 0 where a probe of thumbnails recognises
            mirrored labelled images less often than the others (digits, text), else .5.
        strength: strength of the changes of colour, >= 0.
        patience: end the training after this many evaluations in a row, of twenty, without a higher
            accuracy on the images held out for it: a fifth of the labelled ones, where that is at
            least 100.
        log: where the records of its trainings also go, as for `Pretrain`: tensorboard, csv, wandb,
            mlflow or none; None: tensorboard where it is installed.
        log_project: project of wandb and experiment of MLflow; None: WANDB_PROJECT and
            MLFLOW_EXPERIMENT_NAME, else jessl.
        workers: threads that decode; None: the cores that this process may use, at most 16.
        seed: random seed of the division, the classifier, the order and the crops.
        device: auto, cpu, cuda or cuda:N.
    """

    data: str
    out: str
    init: str
    labels: str | None = None
    allow_missing: bool = False
    x_key: str | None = None
    y_key: str | None = None
    bits: int | None = None
    value_range: tuple[float, float] | None = None
    keep: str = "better"
    folds: int | None = None
    refit: bool = True
    head: str = "probe"
    size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float = 1e-3
    layer_decay: float = 0.75
    weight_decay: float = 0.01
    ema_weights: float = 0.999
    label_smoothing: float = 0.0
    min_scale: float = 0.35
    flip: float | None = None
    strength: float = 0.25
    patience: int = 5
    log: tuple[str, ...] | None = None
    log_project: str | None = None
    workers: int | None = None
    seed: int = 0
    device: str = "auto"

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
