"""The parts of a training, built from a configuration in which everything is decided."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from jessl.config import Pretrain, ResolvedPretrain
from jessl.core import collectives
from jessl.core.log import Log
from jessl.core.precision import pick_precision
from jessl.core.random import seeded
from jessl.data import Loader, Source, Subset, open_source, split_source
from jessl.encoders import Encoder, build_encoder, load_weights
from jessl.extraction.embed import check_channels, weights_file
from jessl.objectives import Objective, build_objective
from jessl.pretraining.defaults import label_numbering_problem
from jessl.pretraining.evaluate import MOST_IMAGES
from jessl.probes.layers import LayerProbes
from jessl.training.activation_checkpointing import recompute_blocks
from jessl.training.optimizers import build_optimizer
from jessl.training.progressive_resize import mean_cost, side
from jessl.training.step import Trainer
from jessl.training.syncbn import synchronise
from jessl.views import Views
from jessl.views.presets import preset

Module = TypeVar("Module", bound=nn.Module)

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

    config: ResolvedPretrain
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
    config: ResolvedPretrain, source: Source, device: torch.device, *, with_init: bool = True
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
    check_channels(source)
    train, sample = _divided(source, config.holdout, config.seed)
    with seeded(config.seed):
        encoder = build_encoder(
            config.encoder,
            size=config.size,
            stem=config.stem,
            pretrained=with_init and config.init == "pretrained",
            dim=config.dim,
        )
        objective = build_objective(config.objective, encoder.dim, config.objective_options)
    notes: list[str] = []
    if with_init and config.init is not None and config.init != "pretrained":
        report = load_weights(encoder, weights_file(config.init), log=Log(notes.append))
        if report.unused or report.others or report.notes:
            notes.append(str(report))
    views = preset(config.views, config.size, config.view_options).normalised(
        encoder.preprocess.mean, encoder.preprocess.std
    )
    _trainable(views, config, encoder, objective)
    probes = _probes(config, train, encoder, objective, notes)
    encoder = _laid_out(_placed(encoder, device), config)
    objective = _placed(objective, device)
    probes = None if probes is None else _placed(probes, device)
    loader = Loader(
        train,
        _growing(views, config),
        config.batch_size // collectives.world(),
        seed=config.seed,
        workers=config.workers,
        device=device,
        rank=collectives.rank(),
        world=collectives.world(),
        window=config.window,
        drop_last=True,
    )
    trainer = Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=build_optimizer(
            config.optimizer, [encoder, objective], lr=config.lr, weight_decay=config.weight_decay
        ),
        lr=config.lr,
        total_steps=config.epochs * len(loader),
        warmup_steps=round(config.warmup_epochs * len(loader)),
        steps_per_epoch=len(loader),
        ema_start=config.ema_start,
        precision=pick_precision(config.precision, device),
        device=device,
        seed=config.seed,
        n_global=views.n_global,
        micro_batch=config.micro_batch_size,
        clip_norm=config.clip_norm,
        pool=_pool(objective.pool, train, views, config, device),
        observer=probes,
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


def compiled_notes(parts: Parts) -> list[str]:
    """Compile the encoders where that was asked for; a line for what cannot be compiled.

    All processes call it together, and all compile or none.
    """
    if not parts.config.compile:
        return []
    batch = parts.loader.batch_size
    one = min(batch, parts.config.micro_batch_size or batch)
    device = parts.trainer.device
    like = [torch.zeros(one, 3, v.size, v.size, device=device) for v in parts.views.recipes]
    return parts.trainer.compile(like)


def _placed(module: Module, device: torch.device) -> Module:
    """A module on its device, with batch norm over all processes."""
    module.to(device)
    return module if collectives.world() == 1 else synchronise(module)


def _laid_out(encoder: Encoder, config: ResolvedPretrain) -> Encoder:
    """The encoder in its memory layout, its blocks computed again where that was asked for."""
    if config.channels_last:
        encoder.to(memory_format=torch.channels_last)
    if config.grad_checkpointing:
        recompute_blocks(encoder)
    return encoder


def _trainable(
    views: Views, config: ResolvedPretrain, encoder: Encoder, objective: Objective
) -> None:
    """Refuse views that the objective or the encoder cannot take."""
    if len(views) < objective.least_views:
        raise ValueError(
            f"views {config.views} are {len(views)} an image; {config.objective} needs at least "
            f"{objective.least_views}"
        )
    sides = {view.size for view in views.recipes}
    if config.start_size is not None:
        if len(sides) > 1:
            raise ValueError(
                f"start_size: views {config.views} are of several sizes already, {sorted(sides)}"
            )
        first, last, epochs = config.start_size, config.size, config.epochs
        sides |= {side(k, epochs=epochs, first=first, last=last) for k in range(epochs)}
    was_training = encoder.training
    encoder.eval()
    for px in sorted(sides):
        try:
            with torch.no_grad():
                encoder(torch.zeros(1, 3, px, px))
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"encoder {encoder.name} does not take views of {px} px: {reason}"
            ) from None
    encoder.train(was_training)


def _growing(views: Views, config: ResolvedPretrain) -> Views | Callable[[int], Views]:
    """The views, or a function of the epoch where their resolution grows."""
    if config.start_size is None:
        return views
    first, last, epochs = config.start_size, config.size, config.epochs
    return lambda epoch: views.resized(side(epoch, epochs=epochs, first=first, last=last))


def _probes(
    config: ResolvedPretrain,
    train: Source,
    encoder: Encoder,
    objective: Objective,
    notes: list[str],
) -> LayerProbes | None:
    """Linear probes of every layer, where there are labels of two classes at least."""
    labels = train.labels
    if not config.online_probes or labels is None or len(np.unique(labels[labels >= 0])) < 2:
        return None
    if odd := label_numbering_problem(train):
        notes.append(f"no online probes: {odd}")
        return None
    widths = {"backbone": encoder.dim, **objective_widths(objective, encoder.dim)}
    return LayerProbes(widths, int(labels.max()) + 1, seed=config.seed)


def objective_widths(objective: Objective, dim: int) -> dict[str, int]:
    """Widths of the objective's layers, by trying."""
    widths: dict[str, int] = {}
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, out, name=name: widths.update({name: out.shape[1]})
        )
        for name, module in objective.layers().items()
    ]
    was_training = objective.training
    with torch.no_grad():
        objective.eval().project(torch.zeros(2, dim))
    objective.train(was_training)
    for hook in hooks:
        hook.remove()
    return widths


def _pool(
    count: int, train: Source, views: Views, config: ResolvedPretrain, device: torch.device
) -> torch.Tensor | None:
    """Patches that serve as the only negatives: one view each of `count` images, by the seed."""
    if not count:
        return None
    chosen = np.random.default_rng(config.seed).permutation(len(train))[:count]
    loader = Loader(Subset(train, chosen), views, count, seed=config.seed, shuffle=False)
    return next(iter(loader)).views[0].to(device)


def _divided(source: Source, holdout: int, seed: int) -> tuple[Source, Source]:
    """Images to train on, and the fixed sample; without a hold-out the sample is trained on."""
    if holdout:
        return split_source(source, holdout / len(source), seed)
    if len(source) <= _SAMPLE:
        return source, source
    return source, split_source(source, _SAMPLE / len(source), seed)[1]


def seconds_per_step(parts: Parts) -> float:
    """Mean time of a step from here on, by a few on copies of the modules.

    The training is left untouched. All processes call it together.
    """
    c = parts.config
    encoder, objective = copy.deepcopy((parts.encoder, parts.objective))
    optimizer = build_optimizer(c.optimizer, [encoder, objective], lr=0.0, weight_decay=0.0)
    trainer = dataclasses.replace(
        parts.trainer, encoder=encoder, objective=objective, optimizer=optimizer, observer=None
    )
    trainer.set_training()
    loader = copy.copy(parts.loader)
    loader.epoch = epoch = min(parts.loader.epoch, c.epochs - 1)
    times = []
    gpus = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        since = time.perf_counter()
        for batch in loader:
            trainer.take_step(batch.views, batch.labels)
            if gpus:
                torch.cuda.synchronize(trainer.device)
            times.append(time.perf_counter() - since)
            if len(times) > _TIMED_STEPS:
                break
            since = time.perf_counter()
    growth = mean_cost(epoch, epochs=c.epochs, first=c.start_size or c.size, last=c.size)
    return statistics.median(times[1:] or times) * growth


def judged_images(source: Source, most: int, seed: int) -> Source:
    """At most `most` images of a source, chosen by a hash of their ids."""
    if len(source) <= most:
        return source
    part: Subset = split_source(source, most / len(source), seed)[1]
    return part


def judged_part(config: ResolvedPretrain, source: Source) -> Source:
    """What a run is judged on at its end: images that it was trained on, at most MOST_IMAGES.

    Args:
        config: of the run, in which everything is decided.
        source: all its images.
    """
    train = _divided(source, config.holdout, config.seed)[0]
    return judged_images(train, MOST_IMAGES, config.seed)
