"""Options of `jessl.pretrain`."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Self

from jessl.config.field_types import matches_annotation
from jessl.core.validation import unknown_name


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """A pretraining run. Only `data` is needed; None: chosen from the data and printed.

    Example:
        jessl.pretrain(jessl.Pretrain(data="photos", objective="simclr", epochs=100, out="my-run"))

    Attributes:
        data: SRC: a folder of images, .npz/.npy, tar shards, `bands:PATH`, `digits`,
            `torchvision:NAME[:split]` or `hf:NAME[:split]`.
        labels: CSV file with columns path,label that adds or replaces labels.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        y_key: name of the labels in an .npz file; None: y, labels or targets.
        bits: bits in use of images stored in more than 8 bits a channel: 2^bits - 1 becomes white,
            larger values are clipped. 9 to 16; None: 65535 is white.
        value_range: the stored values that become black and white, instead of `bits`; it also opens
            floating-point and signed images. On the command line: --range LOW HIGH.
        out: run folder to write; refused when it holds another run, unless `resume`.
        resume: continue the run in `out` from its last checkpoint.
        objective: barlow_twins, byol, cissl, dcl, dino, dissl, lejepa, moco, nnclr, simclr,
            simsiam, swav, vicreg, visreg, supervised (which needs labels), or distill (which needs
            a teacher); or package.module:Config, an objective of yours (docs/extending.md).
        objective_options: fields of the method's config; on the command line: cov 4 inv 10.
        teacher: an encoder whose features of the plain images objective distill learns, as
            `jessl embed` takes it (`timm:NAME`, `torchvision:NAME`, a run folder, `ckpt:FILE`), or
            a folder of embeddings of the images. It is frozen; its features are computed once and
            kept in the run.
        encoder: `smallconv[:WIDTH]`, `airbench[:WIDTH]`, `timm:NAME`, `torchvision:NAME`, or
            `package.module:Name`, one of yours.
        stem: "small" (3x3 stride 1, no max-pool), "standard", or None: by image size (ResNets).
        dim: length of the representation, by an expansion of the encoder's channels before they are
            averaged; None: that of the encoder.
        init: weights to start from: a run folder, a .safetensors or a weights-only .pt/.th file,
            or "pretrained" for the weights published with a timm or torchvision encoder.
        views: recipe of the views: byol, coarse, dino, disjoint, gaussian_noise, grayscale,
            multicrop, simclr, swav or vicreg, or a .toml or .json file.
        view_options: arguments of the preset; on the command line: flip 0 min_scale 0.3.
        size: side of the views in pixels; None: by the file of the views, or by the images.
        start_size: side of the views at the start; from .70 to .85 of the epochs it grows to
            `size`; None: `size` all the time.
        epochs: passes over the training images.
        batch_size: images per optimizer step, over all processes.
        micro_batch_size: images of a process that the encoder processes at a time, for batches
            larger than memory; loss and gradient stay those of the whole batch, at the cost of a
            second forward pass. None: all.
        optimizer: "adamw", "sgd" or "lars".
        lr: peak learning rate; None: the optimizer's base rate times batch_size / 256.
        layer_decay: factor of the learning rate from each block of the encoder to the one before
            it, above 0 and up to 1: block k of K has lr times layer_decay^(K - k), the heads have
            lr. For training on from other weights, such as 0.75; None: one rate for all.
        frozen_epochs: epochs at the start in which only the heads learn and the encoder keeps the
            weights of `init`, such as 1; they count as the others, and take as long.
        anchor: pull of the encoder's weights towards those of `init`, such as 10: every step moves
            them lr times anchor of the way back; None: no pull.
        lora: rank of updates of the encoder's linear layers that are trained while its own weights
            stay as in `init`, such as 8, for vision transformers; the checkpoints hold the sums.
            None: all weights are trained.
        weight_decay: None: the optimizer's default; never applied to biases and norm layers.
        warmup_epochs: linear warm-up; None: a tenth of the epochs, at most 10.
        clip_norm: maximum of the norm of all gradients; None: no limit.
        ema_start: momentum of the teacher at the start, for methods that have one; grows to 1 by a
            cosine.
        ema_weights: momentum of a moving average of all weights, such as 0.999: the average is
            evaluated, kept in the checkpoints and at the end; None: the weights themselves.
        precision: "float32", "bfloat16", "float16", or "auto": by `tune`, else bfloat16 on GPUs
            that compute in it and float32 elsewhere.
        channels_last: memory format of the encoder; None: by `tune`, else on GPUs only.
        compile: compile the encoder with torch.compile (needs a C++ compiler, and takes minutes);
            None: by `tune`, else not.
        tune: before the first step, measure which of the settings left open (precision, memory
            format, compilation, optimizer kernel, threads) train fastest, on copies of the network,
            for at most 5 s and 2 % of the run. One is taken only if loss and gradient agree with
            float32 and it is at least 5 % faster. Runs too short for it are left as they are.
        grad_checkpointing: recompute the encoder's blocks in the backward pass instead of storing
            their activations: less memory, a third more time.
        deterministic: use only algorithms that reproduce every bit; slower on GPUs.
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: random seed of weights, order and views.
        holdout: images held out of training for the online evaluation; None: a tenth, at most
            2048, and none below 640 images (the evaluation then uses training images, and is
            labelled accordingly).
        labelled_only: train on the images that have a label, and leave the others out; an equal
            share of each class is then held out.
        evaluate_epochs: epochs between two online evaluations; None: ten over the run; 0: never.
        patience: end the training after this many online evaluations in a row without a higher view
            retrieval at the backbone (for "supervised": a higher accuracy of its classifier); None:
            train all epochs.
        online_probes: if there are labels, train linear probes of every layer beside the encoder,
            which they do not affect.
        checkpoint_epochs: epochs between two checkpoints; None: ten over the run.
        checkpoint_seconds: wall time after which a checkpoint is also written within an epoch.
        keep_checkpoints: how many of the latest checkpoints stay on disk; 0: all.
        log_steps: steps over which a loss record is averaged; None: about 500 records a run.
        log: where the records also go: tensorboard (RUN/tensorboard), csv (RUN/metrics.csv), wandb,
            mlflow, or none. None: tensorboard where it is installed. See docs/monitoring.md.
        log_project: project of wandb and experiment of MLflow; None: WANDB_PROJECT and
            MLFLOW_EXPERIMENT_NAME, else jessl.
        window: for tar shards on slow disks: permute the shards, and the images within windows of
            this many, so that shards are read one after the other; None: permute all images.
        workers: threads that read and decode images; None: the cores that this process may use, at
            most 16.
    """

    data: str
    labels: str | None = None
    x_key: str | None = None
    y_key: str | None = None
    bits: int | None = None
    value_range: tuple[float, float] | None = None
    out: str | None = None
    resume: bool = False
    objective: str = "vicreg"
    objective_options: dict[str, int | float | str] = field(default_factory=dict)
    teacher: str | None = None
    encoder: str | None = None
    stem: str | None = None
    dim: int | None = None
    init: str | None = None
    views: str = "simclr"
    view_options: dict[str, int | float] = field(default_factory=dict)
    size: int | None = None
    start_size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    micro_batch_size: int | None = None
    optimizer: str = "adamw"
    lr: float | None = None
    layer_decay: float | None = None
    frozen_epochs: float | None = None
    anchor: float | None = None
    lora: int | None = None
    weight_decay: float | None = None
    warmup_epochs: float | None = None
    clip_norm: float | None = None
    ema_start: float = 0.99
    ema_weights: float | None = None
    precision: str = "auto"
    channels_last: bool | None = None
    compile: bool | None = None
    tune: bool = True
    grad_checkpointing: bool = False
    deterministic: bool = False
    device: str = "auto"
    seed: int = 0
    holdout: int | None = None
    labelled_only: bool = False
    evaluate_epochs: int | None = None
    patience: int | None = None
    online_probes: bool = True
    checkpoint_epochs: int | None = None
    checkpoint_seconds: float = 600.0
    keep_checkpoints: int = 2
    log_steps: int | None = None
    log: tuple[str, ...] | None = None
    log_project: str | None = None
    window: int | None = None
    workers: int | None = None

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str = "config.json") -> Self:
        """The inverse of `as_json`.

        Args:
            values: by field.
            where: name of their origin, for errors.

        Raises:
            ValueError: for a field that does not exist (with the nearest names), is missing, or
                has a value of another type.
        """
        if not isinstance(values, dict):
            raise ValueError(f"{where}: expected a JSON object, got {type(values).__name__}")
        allowed = {f.name: str(f.type) for f in fields(cls)}
        for name, value in values.items():
            if name not in allowed:
                raise ValueError(unknown_name(f"field of {where}", name, allowed))
            if not matches_annotation(value, allowed[name]):
                raise ValueError(
                    f"field {name} of {where}: expected {allowed[name]}, got {value!r}"
                )
        for f in fields(cls):
            is_required = f.default is MISSING and f.default_factory is MISSING
            if is_required and f.name not in values:
                raise ValueError(f"{where} lacks the field {f.name}")
        # JSON has lists only
        tuples = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**(values | tuples))
