"""The parts of a training, built from a configuration in which everything is decided."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from jessl.config import Pretrain
from jessl.data import Loader, Source, Subset, open_source, split
from jessl.encoders import Encoder, build_encoder, load_weights, seeded
from jessl.extract import grey_or_rgb, weights_file
from jessl.objectives import Objective, build_objective
from jessl.pictures import unnormalised
from jessl.training.devices import pick_precision
from jessl.training.loop import Trainer
from jessl.training.optimizers import build_optimizer
from jessl.views import Views
from jessl.views.captions import caption
from jessl.views.presets import preset

# images of the fixed sample that is judged while training
_SAMPLE = 2_048
# steps that the estimate of the time is the median of, after one to warm up
_TIMED_STEPS = 3


@dataclass(frozen=True)
class Parts:
    """What a training is made of.

    Attributes:
        source: all images; train: those to train on; sample: the fixed ones judged on the way.
        held_out: whether the sample is kept out of the training.
        notes: what a user should know of weights that were left aside.
    """

    config: Pretrain
    source: Source
    train: Source
    sample: Source
    held_out: bool
    views: Views
    encoder: Encoder
    objective: Objective
    loader: Loader
    trainer: Trainer
    notes: tuple[str, ...]


def open_data(config: Pretrain) -> Source:
    """The images of a configuration."""
    return open_source(config.data, labels=config.labels, x_key=config.x_key, y_key=config.y_key)


def build(
    config: Pretrain, source: Source, device: torch.device, *, with_init: bool = True
) -> Parts:
    """Build everything; weights and order come from config.seed alone.

    Args:
        config: in which everything is decided.
        source: the images.
        device: where the modules go.
        with_init: load the weights of config.init; needless where a checkpoint follows.

    Raises:
        ValueError: where the images have 2 or 4 channels, or config.init does not fit.
    """
    grey_or_rgb(source)
    assert config.encoder is not None
    assert config.size is not None
    assert config.batch_size is not None
    assert config.holdout is not None
    assert config.epochs is not None
    assert config.lr is not None
    assert config.weight_decay is not None
    assert config.warmup_epochs is not None
    train, sample = _divided(source, config.holdout, config.seed)
    with seeded(config.seed):
        encoder = build_encoder(
            config.encoder,
            size=config.size,
            stem=config.stem,
            pretrained=with_init and config.init == "pretrained",
        )
        objective = build_objective(config.objective, encoder.dim, config.objective_options)
    notes = []
    if with_init and config.init is not None and config.init != "pretrained":
        unused = load_weights(encoder, weights_file(config.init))
        if unused:
            notes.append(f"{len(unused)} tensors of {config.init} have no place, e.g. {unused[0]}")
    views = preset(config.views, config.size, config.view_options).normalised(
        encoder.preprocess.mean, encoder.preprocess.std
    )
    _trainable(views, config.views)
    loader = Loader(
        train,
        views,
        config.batch_size,
        seed=config.seed,
        workers=config.workers,
        device=device,
        window=config.window,
        drop_last=True,
    )
    encoder.to(device)
    objective.to(device)
    trainer = Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=build_optimizer(
            config.optimizer, [encoder, objective], lr=config.lr, weight_decay=config.weight_decay
        ),
        lr=config.lr,
        total_steps=config.epochs * len(loader),
        warmup_steps=round(config.warmup_epochs * len(loader)),
        ema_start=config.ema_start,
        precision=pick_precision(config.precision, device),
        device=device,
    )
    return Parts(
        config=config,
        source=source,
        train=train,
        sample=sample,
        held_out=config.holdout > 0,
        views=views,
        encoder=encoder,
        objective=objective,
        loader=loader,
        trainer=trainer,
        notes=tuple(notes),
    )


def _trainable(views: Views, name: str) -> None:
    """Refuse views that no objective tells apart: all are compared with all, at one size."""
    local = len(views) - (views.n_global or len(views))
    if local:
        raise ValueError(
            f"views {name} have {local} local crops, and no objective takes them yet; "
            "leave them out (view_options num_local 0) or choose simclr, byol or vicreg"
        )
    if len(views) < 2:
        raise ValueError(f"views {name} are {len(views)} an image; an objective needs at least 2")
    sizes = sorted({view.size for view in views.recipes})
    if len(sizes) > 1:
        raise ValueError(f"views {name} must be of one size to train on, got sides {sizes}")


def _divided(source: Source, holdout: int, seed: int) -> tuple[Source, Source]:
    """Images to train on, and the fixed sample; without a hold-out the sample is trained on."""
    if holdout:
        return split(source, holdout / len(source), seed)
    if len(source) <= _SAMPLE:
        return source, source
    return source, split(source, _SAMPLE / len(source), seed)[1]


def seconds_per_step(parts: Parts) -> float:
    """Median time of a few steps on copies of the modules; the training is left untouched."""
    encoder, objective = copy.deepcopy((parts.encoder, parts.objective))
    optimizer = build_optimizer(
        parts.config.optimizer, [encoder, objective], lr=0.0, weight_decay=0.0
    )
    trainer = dataclasses.replace(
        parts.trainer, encoder=encoder, objective=objective, optimizer=optimizer
    )
    trainer.set_training()
    loader = copy.copy(parts.loader)
    loader.load_state_dict({"epoch": 0, "batch": 0})
    times = []
    gpus = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        since = time.perf_counter()
        for batch in loader:
            trainer.take_step(batch.views)
            if gpus:
                torch.cuda.synchronize(trainer.device)
            times.append(time.perf_counter() - since)
            if len(times) > _TIMED_STEPS:
                break
            since = time.perf_counter()
    return statistics.median(times[1:] or times)


def judged_images(source: Source, most: int, seed: int) -> Source:
    """At most `most` images of a source, chosen by a hash of their ids."""
    if len(source) <= most:
        return source
    part: Subset = split(source, most / len(source), seed)[1]
    return part


@dataclass(frozen=True)
class Grid:
    """Images and their views, as `write_grid` takes them: rows, columns and captions."""

    columns: list[str]
    rows: list[list[np.ndarray]]
    captions: list[list[list[str]]]


def view_rows(source: Source, views: Views, *, seed: int, count: int = 6) -> Grid:
    """For evenly spaced images: the image and its views; of one or two views, drawn twice.

    Raises:
        ValueError: when none of the images can be read.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round())
    some = Subset(source, chosen.astype(np.int64))
    loader = Loader(
        some, views, count, seed=seed, shuffle=False, unreadable="drop", return_params=True
    )
    at = {int(i): k for k, i in enumerate(some.ids)}
    names = _column_names(views)
    grid = Grid(["image"], [], [])
    for epoch in range(2 if len(views) <= 2 else 1):
        grid.columns.extend(f"{name}{', again' * epoch}" for name in names)
        for batch in loader:
            assert batch.params is not None
            seen = [unnormalised(v.cpu().numpy(), views.mean, views.std) for v in batch.views]
            if not grid.rows:
                originals = [some.read(at[int(i)]) for i in batch.ids]
                grid.rows.extend([image] for image in originals)
                grid.captions.extend([[f"{i.shape[1]}x{i.shape[0]}"]] for i in originals)
            for k, (row, captions) in enumerate(zip(grid.rows, grid.captions, strict=True)):
                row.extend(v[k] for v in seen)
                captions.extend(caption(p, k, *row[0].shape[:2]) for p in batch.params)
    if not grid.rows:
        where, reason = next(iter(loader.skipped.items()))
        raise ValueError(
            f"none of {len(some)} images of {source.name} can be read: {where}: {reason}"
        )
    return grid


def _column_names(views: Views) -> list[str]:
    n_global = views.n_global or len(views)
    names = [
        f"view {k + 1}" if k < n_global else f"local {k - n_global + 1}" for k in range(len(views))
    ]
    sizes = [view.size for view in views.recipes]
    if len(set(sizes)) == 1:
        return names
    return [f"{name}, {size} px" for name, size in zip(names, sizes, strict=True)]
