"""What a pretraining does when the user left it open: chosen from the data, and told."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from jessl.config import Pretrain
from jessl.core import collectives
from jessl.core.validation import check_choice
from jessl.data import Source
from jessl.encoders import seeded
from jessl.objectives import build_objective
from jessl.training.optimizers import DEFAULTS
from jessl.views.presets import is_file, load

# steps of a run whose epochs the user left open
_STEPS = {"cpu": 2_000, "cuda": 20_000}
_MOST_EPOCHS = 400
# width of the representations that an objective is tried on: any will do
_TRIED_DIM = 16
_MOST_HOLDOUT = 2_048
_LEAST_FOR_HOLDOUT = 640


def choose(asked: Pretrain, source: Source, device: torch.device) -> Pretrain:
    """The configuration with every None decided.

    Args:
        asked: what the user gave.
        source: the images.
        device: where the training runs; a GPU gets larger views and encoders.

    Raises:
        ValueError: for values that no training can have, naming them.
    """
    check(asked)
    options = _with_classes(asked, source)
    size = asked.size or _size_in_file(asked.views) or default_size(source, device)
    encoder = asked.encoder or _encoder(size, device)
    holdout = asked.holdout if asked.holdout is not None else default_holdout(len(source))
    n_train = len(source) - holdout
    if n_train < 2:
        raise ValueError(
            f"training needs at least 2 images; {source.name} has {len(source)}, "
            f"{holdout} of them held out"
        )
    batch = asked.batch_size or _batch(n_train, collectives.world())
    if n_train < collectives.world():
        raise ValueError(
            f"{collectives.world()} processes are more than the {n_train} images to train on in "
            f"{source.name}"
        )
    if batch < 2:
        raise ValueError(f"batch_size must be at least 2, got {batch}")
    if batch > n_train:
        raise ValueError(
            f"batch_size {batch} is more than the {n_train} images to train on in {source.name}"
        )
    if asked.start_size is not None and not 8 <= asked.start_size <= size:
        raise ValueError(f"start_size must be in 8..{size} (size), got {asked.start_size}")
    per_epoch = n_train // batch
    epochs = asked.epochs or int(np.clip(_STEPS[device.type] // per_epoch, 1, _MOST_EPOCHS))
    if asked.warmup_epochs is not None and asked.warmup_epochs >= epochs:
        raise ValueError(
            f"warmup_epochs {asked.warmup_epochs:g} must be below the {epochs} epochs of the "
            "training"
        )
    base_lr, weight_decay = DEFAULTS[asked.optimizer]
    return dataclasses.replace(
        asked,
        size=size,
        encoder=encoder,
        objective_options=options,
        holdout=holdout,
        batch_size=batch,
        channels_last=(
            asked.channels_last if asked.channels_last is not None else device.type == "cuda"
        ),
        epochs=epochs,
        lr=asked.lr if asked.lr is not None else base_lr * batch / 256,
        weight_decay=asked.weight_decay if asked.weight_decay is not None else weight_decay,
        warmup_epochs=(
            asked.warmup_epochs if asked.warmup_epochs is not None else min(10.0, epochs / 10)
        ),
        evaluate_epochs=(
            asked.evaluate_epochs if asked.evaluate_epochs is not None else -(-epochs // 10)
        ),
        checkpoint_epochs=asked.checkpoint_epochs or -(-epochs // 10),
        log_steps=asked.log_steps or max(1, epochs * per_epoch // 500),
    )


def _with_classes(asked: Pretrain, source: Source) -> dict[str, int | float | str]:
    """Options of the objective; one that learns from labels is told how many classes there are."""
    with seeded(asked.seed):  # a trial: the caller's generator stays as it was
        tried = build_objective(asked.objective, _TRIED_DIM, asked.objective_options)
    if not tried.uses_labels:
        return asked.objective_options
    labels = source.labels
    if labels is None or not (labels >= 0).any():
        raise ValueError(
            f"objective {asked.objective} learns from labels and {source.name} has none; give "
            "--labels FILE.csv, or take another objective"
        )
    if odd := oddly_numbered(source):
        raise ValueError(f"objective {asked.objective}: {odd}")
    options = {"classes": int(labels.max()) + 1, **asked.objective_options}
    if int(options["classes"]) <= int(labels.max()):
        raise ValueError(
            f"classes must be at least {int(labels.max()) + 1}, as {source.name} has labels up to "
            f"{int(labels.max())}, got {options['classes']}"
        )
    return options


def oddly_numbered(source: Source) -> str | None:
    """One line where labels are no numbers of classes (years, ids): a classifier would be huge."""
    assert source.labels is not None
    count, most = len(np.unique(source.labels[source.labels >= 0])), int(source.labels.max())
    if most < 10 * count + 1_000:
        return None
    return (
        f"labels of {source.name} go up to {most:,} for {count:,} classes; number the classes "
        "from 0 on"
    )


def refuse_uneven(chosen: Pretrain) -> None:
    """Refuse a batch that the processes cannot share out evenly."""
    world = collectives.world()
    assert chosen.batch_size is not None
    if chosen.batch_size % world:
        raise ValueError(
            f"batch_size {chosen.batch_size} cannot be shared out evenly among {world} processes; "
            f"take a multiple of {world}"
        )


def _size_in_file(views: str) -> int | None:
    """Side of the largest views that a file describes; None for a preset."""
    if not is_file(views):
        return None
    size = max(view.size for view in load(views).recipes)
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size} in {views}")
    return size


def default_size(source: Source, device: torch.device) -> int:
    """Side of the views: that of the images, from 16 up to 224 pixels on a GPU and 96 on a CPU."""
    heights, widths = source.sizes()
    side = int(np.median(np.minimum(heights, widths)))
    return int(np.clip(side, 16, 224 if device.type == "cuda" else 96))


def default_holdout(n: int) -> int:
    """Images kept out of training: a tenth, at most 2048, none of fewer than 640."""
    return min(_MOST_HOLDOUT, n // 10) if n >= _LEAST_FOR_HOLDOUT else 0


def _encoder(size: int, device: torch.device) -> str:
    if device.type != "cuda":
        return "smallconv"
    return "timm:resnet18" if size <= 96 else "timm:resnet50"


def _batch(n_train: int, world: int) -> int:
    """A power of two, 256 at most, that leaves at least four steps an epoch where it can.

    Of several processes the multiple of their number below it, or one image each.
    """
    batch = int(np.clip(2 ** int(np.log2(max(2, n_train // 4))), 2, 256))
    return max(batch // world, 1) * world


def check(asked: Pretrain) -> None:
    """Refuse numbers out of range, and an optimizer that is none."""
    check_choice("optimizer", asked.optimizer, DEFAULTS)
    least = {
        "size": 8,
        "epochs": 1,
        "batch_size": 2,
        "micro_batch_size": 1,
        "clip_norm": 1e-12,
        "dim": 1,
        "holdout": 0,
        "evaluate_epochs": 0,
        "checkpoint_epochs": 1,
        "keep_checkpoints": 0,
        "log_steps": 1,
        "window": 1,
        "workers": 1,
        "lr": 0,
        "weight_decay": 0,
        "warmup_epochs": 0,
        "checkpoint_seconds": 0,
        "seed": 0,
    }
    for name, low in least.items():
        value = getattr(asked, name)
        if value is not None and not low <= value < 2**63:
            most = "" if value < low else " and finite"
            raise ValueError(f"{name} must be at least {low}{most}, got {value}")
    for name in ("objective_options", "view_options"):
        for option, value in getattr(asked, name).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: {option} must be finite, got {value}")
    if not 0 <= asked.ema_start <= 1:
        raise ValueError(f"ema_start must be in [0, 1], got {asked.ema_start}")
