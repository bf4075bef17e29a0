"""Settings that the user left open, chosen from the data and the device."""

from __future__ import annotations

import math

import numpy as np
import torch

from jessl.config import Pretrain, ResolvedPretrain
from jessl.core import collectives
from jessl.core.precision import dtype_name, pick_precision
from jessl.core.random import seeded
from jessl.core.validation import check_choice
from jessl.data import Source, band_statistics
from jessl.encoders.nets.pixels import NAME as PIXELS
from jessl.objectives import build_objective
from jessl.pretraining.images import usable_images
from jessl.pretraining.teacher import TeacherFacts, inspect_teacher
from jessl.tracking import check_loggers
from jessl.training.optimizers import DEFAULTS
from jessl.views.presets import is_file, load

# optimizer steps of a run whose epochs the user left open
_STEPS = {"cpu": 2_000, "cuda": 20_000}
_MOST_EPOCHS = 400
# width of the representations that an objective is built for on trial: any width will do
_TRIAL_DIM = 16
_MOST_HOLDOUT = 2_048
_LEAST_FOR_HOLDOUT = 640
# least value of a number that a user may give
_LEAST = {
    "size": 8,
    "epochs": 1,
    "batch_size": 2,
    "micro_batch_size": 1,
    "clip_norm": 1e-12,
    "dim": 1,
    "holdout": 0,
    "evaluate_epochs": 0,
    "patience": 1,
    "checkpoint_epochs": 1,
    "keep_checkpoints": 0,
    "log_steps": 1,
    "window": 1,
    "workers": 1,
    "lr": 0,
    "weight_decay": 0,
    "warmup_epochs": 0,
    "frozen_epochs": 0,
    "anchor": 0,
    "lora": 1,
    "checkpoint_seconds": 0,
    "seed": 0,
}


def resolve(config: Pretrain, source: Source, device: torch.device) -> ResolvedPretrain:
    """The configuration with every open value decided.

    Args:
        config: as the user gave it.
        source: the images.
        device: where the training runs; a GPU gets larger views and encoders.

    Raises:
        ValueError: for values that no training can have, naming them.

    Example:
        resolve(Pretrain(data="digits"), open_source("digits"), torch.device("cpu")).batch_size
    """
    check_config(config)
    source = usable_images(config, source)
    options = _objective_options(config, source)
    teacher = _teacher(config, source)
    if teacher is not None:
        options = {**options, "teacher_dim": teacher.dim}
    size = config.size or _size_in_file(config.views) or default_size(source, device)
    holdout = default_holdout(len(source)) if config.holdout is None else config.holdout
    n_train = len(source) - holdout
    batch_size = _batch_size(config.batch_size, n_train, holdout, source)
    if config.start_size is not None and not 8 <= config.start_size <= size:
        raise ValueError(
            f"start_size: expected a number in 8..{size} (size), got {config.start_size}"
        )
    steps_per_epoch = n_train // batch_size
    epochs = config.epochs or _epochs(steps_per_epoch, device)
    if config.warmup_epochs is not None and config.warmup_epochs >= epochs:
        raise ValueError(
            f"warmup_epochs {config.warmup_epochs:g} must be below the {epochs} epochs of the "
            "training"
        )
    if config.frozen_epochs is not None and config.frozen_epochs >= epochs:
        raise ValueError(
            f"frozen_epochs {config.frozen_epochs:g} must be below the {epochs} epochs of the "
            "training"
        )
    base_lr, weight_decay = DEFAULTS[config.optimizer]
    decided = {
        "size": size,
        "encoder": config.encoder or default_encoder(size, device),
        "objective_options": options,
        "teacher_sha256": None if teacher is None else teacher.sha256,
        "holdout": holdout,
        "batch_size": batch_size,
        "compute_dtype": dtype_name(pick_precision(config.precision, device)),
        "channels_last": _or(config.channels_last, device.type == "cuda"),
        "compile": bool(config.compile),
        "epochs": epochs,
        "lr": _or(config.lr, base_lr * batch_size / 256),
        "weight_decay": _or(config.weight_decay, weight_decay),
        "warmup_epochs": _or(config.warmup_epochs, min(10.0, epochs / 10)),
        "evaluate_epochs": _or(config.evaluate_epochs, -(-epochs // 10)),
        "checkpoint_epochs": config.checkpoint_epochs or -(-epochs // 10),
        "log_steps": config.log_steps or max(1, epochs * steps_per_epoch // 500),
    }
    if source.bands is not None:
        decided["mean"], decided["std"] = source.bands.normalisation or band_statistics(source)
    return ResolvedPretrain(**(vars(config) | decided))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _objective_options(config: Pretrain, source: Source) -> dict[str, int | float | str]:
    """Options of the objective; one that learns from labels gets the number of classes."""
    with seeded(config.seed):  # a trial: the caller's generator stays as it was
        trial = build_objective(config.objective, _TRIAL_DIM, config.objective_options)
    if not trial.uses_labels:
        return config.objective_options
    labels = source.labels
    if labels is None or not (labels >= 0).any():
        raise ValueError(
            f"objective {config.objective} learns from labels and {source.name} has none; give "
            "--labels FILE.csv, or take another objective"
        )
    if problem := label_numbering_problem(source):
        raise ValueError(f"objective {config.objective}: {problem}")
    least = int(labels.max()) + 1
    options = {"classes": least, **config.objective_options}
    if int(options["classes"]) < least:
        raise ValueError(
            f"classes: expected at least {least}, since {source.name} has labels up to "
            f"{least - 1}, got {options['classes']}"
        )
    return options


def _teacher(config: Pretrain, source: Source) -> TeacherFacts | None:
    """The teacher, where the objective learns from one.

    Raises:
        ValueError: for a teacher that is missing or not used, or that cannot be opened.
    """
    with seeded(config.seed):
        trial = build_objective(config.objective, _TRIAL_DIM, config.objective_options)
    if not trial.target_dim and config.teacher is None:
        return None
    if not trial.target_dim:
        raise ValueError(
            f"teacher: expected none for objective {config.objective}, got {config.teacher}; "
            "--objective distill learns from a teacher"
        )
    if config.teacher is None:
        raise ValueError(
            f"teacher: expected an encoder for objective {config.objective} (timm:NAME, a run, "
            "ckpt:FILE) or a folder of embeddings, got none"
        )
    teacher = inspect_teacher(config.teacher, source)
    given = config.objective_options.get("teacher_dim", teacher.dim)
    if given != teacher.dim:
        raise ValueError(
            f"teacher_dim: expected the {teacher.dim} features of {config.teacher}, got {given}"
        )
    return teacher


def label_numbering_problem(source: Source) -> str | None:
    """One line where labels do not number classes (years, ids): the classifier would be huge."""
    if source.labels is None:
        return None
    count, most = len(np.unique(source.labels[source.labels >= 0])), int(source.labels.max())
    if most < 10 * count + 1_000:
        return None
    return (
        f"labels of {source.name} go up to {most:,} for {count:,} classes; number the classes "
        "from 0 on"
    )


def _size_in_file(views: str) -> int | None:
    """Side of the largest views that a file describes; None for a preset."""
    if not is_file(views):
        return None
    size = max(view.size for view in load(views).recipes)
    if size < 8:
        raise ValueError(f"size: expected at least 8 pixels, got {size} in {views}")
    return size


def default_size(source: Source, device: torch.device) -> int:
    """Side of the views, pixels: that of the images, from 16 up to 224 on a GPU and 96 on a CPU."""
    heights, widths = source.sizes()
    side = int(np.median(np.minimum(heights, widths)))
    return int(np.clip(side, 16, 224 if device.type == "cuda" else 96))


def default_holdout(n: int) -> int:
    """Images kept out of training: a tenth, at most 2048, none of fewer than 640."""
    return min(_MOST_HOLDOUT, n // 10) if n >= _LEAST_FOR_HOLDOUT else 0


def default_encoder(size: int, device: torch.device) -> str:
    """The encoder of a training that names none: small on a CPU, a ResNet on a GPU."""
    if device.type != "cuda":
        return "smallconv"
    return "timm:resnet18" if size <= 96 else "timm:resnet50"


def _batch_size(requested: int | None, n_train: int, holdout: int, source: Source) -> int:
    """Images of an optimizer step over all processes; the numbers must allow a training."""
    world = collectives.world()
    if n_train < 2:
        raise ValueError(
            f"training needs at least 2 images; {source.name} has {len(source)}, "
            f"{holdout} of them held out"
        )
    if n_train < world:
        raise ValueError(
            f"{world} processes are more than the {n_train} images to train on in {source.name}"
        )
    batch_size = requested or _default_batch_size(n_train, world)
    if batch_size < 2:
        raise ValueError(f"batch_size: expected at least 2, got {batch_size}")
    if batch_size > n_train:
        raise ValueError(
            f"batch_size {batch_size} is more than the {n_train} images to train on in "
            f"{source.name}"
        )
    return batch_size


def _default_batch_size(n_train: int, world: int) -> int:
    """A power of two, 256 at most, that leaves at least four steps an epoch where it can.

    With several processes, the multiple of their number below it, or one image each.
    """
    batch = int(np.clip(2 ** int(np.log2(max(2, n_train // 4))), 2, 256))
    return max(batch // world, 1) * world


def _epochs(steps_per_epoch: int, device: torch.device) -> int:
    return int(np.clip(_STEPS[device.type] // steps_per_epoch, 1, _MOST_EPOCHS))


def check_even_batch(batch_size: int) -> None:
    """Refuse a batch that cannot be divided evenly among the processes."""
    world = collectives.world()
    if batch_size % world:
        raise ValueError(
            f"batch_size {batch_size} cannot be shared out evenly among {world} processes; "
            f"take a multiple of {world}"
        )


def check_config(config: Pretrain) -> None:
    """Refuse numbers out of range, unknown optimizers, and loggers that cannot be used.

    Raises:
        ValueError: naming the field.
    """
    check_choice("optimizer", config.optimizer, DEFAULTS)
    check_loggers(config.log)
    if (config.encoder or "").partition(":")[0] == PIXELS:
        raise ValueError(f"encoder: expected one with weights to train, got {config.encoder}")
    for name, least in _LEAST.items():
        value = getattr(config, name)
        if value is not None and not least <= value < 2**63:
            finite = "" if value < least else " and finite"
            raise ValueError(f"{name}: expected at least {least}{finite}, got {value}")
    for name in ("objective_options", "view_options"):
        for option, value in getattr(config, name).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: {option}: expected a finite number, got {value}")
    if config.patience is not None and config.evaluate_epochs == 0:
        raise ValueError("patience: expected evaluate_epochs above 0: it counts evaluations")
    if config.layer_decay is not None and not 0 < config.layer_decay <= 1:
        raise ValueError(
            f"layer_decay: expected a number above 0 and up to 1, got {config.layer_decay}"
        )
    if config.lora is not None:
        for name in ("anchor", "ema_weights"):
            if getattr(config, name):
                raise ValueError(f"lora: expected no {name} beside it")
    for name in ("frozen_epochs", "anchor", "lora"):
        if getattr(config, name) and config.init is None:
            raise ValueError(f"{name}: expected init: it is for training on from other weights")
    if config.ema_weights is not None and not 0 <= config.ema_weights < 1:
        raise ValueError(
            f"ema_weights: expected a number in [0, 1), such as 0.999, got {config.ema_weights}"
        )
    if not 0 <= config.ema_start <= 1:
        raise ValueError(f"ema_start: expected a number in [0, 1], got {config.ema_start}")
