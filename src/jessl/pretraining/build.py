"""The parts of a training, built from settings in which everything is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from torch import nn

from jessl.config import ResolvedPretrain
from jessl.core import collectives
from jessl.core.log import Log
from jessl.core.precision import pick_precision
from jessl.core.process_group import all_ranks
from jessl.data import Loader, Source, Subset
from jessl.data.loading.batch import RowTargets
from jessl.encoders import Encoder, load_weights
from jessl.encoders.stem_channels import adaptation
from jessl.extraction.channels import check_input
from jessl.extraction.open_encoder import build_untrained, weights_file
from jessl.objectives import Objective
from jessl.pretraining.defaults import check_even_batch, label_numbering_problem
from jessl.pretraining.images import split_images
from jessl.probes.layers import LayerProbes
from jessl.training.activation_checkpointing import recompute_blocks
from jessl.training.low_rank import LowRankUpdates
from jessl.training.optimizers import build_optimizer
from jessl.training.progressive_resize import side
from jessl.training.step import Trainer
from jessl.training.syncbn import synchronise
from jessl.training.tuning.speed import OptimizerFactory
from jessl.views import Views
from jessl.views.presets import preset

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Parts:
    """What a training is made of.

    Attributes:
        source: all images; train: those to train on; sample: the fixed ones evaluated on the way.
        held_out: whether the sample is kept out of the training.
        views: the recipe at its last size; the loader's may grow.
        probes: linear probes that are trained beside the encoder, None without labels.
        notes: what a user should know of weights and labels that were left aside.
    """

    source: Source
    train: Source
    sample: Source
    held_out: bool
    views: Views
    encoder: Encoder
    objective: Objective
    loader: Loader
    trainer: Trainer
    probes: LayerProbes | None
    notes: tuple[str, ...]

    @property
    def evaluated(self) -> tuple[Encoder, Objective]:
        """Encoder and objective that are evaluated and kept: averages, sums with updates."""
        averaged, low_rank = self.trainer.averaged, self.trainer.low_rank
        if low_rank is not None:
            return low_rank.plain(), self.objective
        if averaged is None:
            return self.encoder, self.objective
        return (
            cast(Encoder, averaged.modules["encoder"]),
            cast(Objective, averaged.modules["objective"]),
        )


@all_ranks
def build(
    settings: ResolvedPretrain,
    source: Source,
    device: torch.device,
    *,
    with_init: bool = True,
    targets: RowTargets | None = None,
) -> Parts:
    """Build everything; weights and order come from settings.seed alone.

    Args:
        settings: of the run.
        source: the images.
        device: where the modules go.
        with_init: load the weights of settings.init; needless where a checkpoint follows.
        targets: of the training images (`teacher.teacher_targets`), for objectives that learn them.

    Raises:
        ValueError: where the images have other channels than the encoder, settings.init does not
            fit, or views, objective and encoder do not go together.
    """
    check_even_batch(settings.batch_size)
    train, sample = split_images(source, settings)
    encoder, objective, notes = _build_modules(settings, with_init=with_init)
    check_input(encoder, source)
    views = preset(settings.views, settings.size, settings.view_options).normalised(
        encoder.preprocess.mean, encoder.preprocess.std
    )
    _check_views(views, settings, encoder, objective)
    probes = None
    if settings.online_probes:
        probes, probe_notes = _build_probes(train, encoder, objective, settings.seed)
        notes += probe_notes
    encoder = _place(encoder, device)
    if settings.channels_last:
        encoder.to(memory_format=torch.channels_last)
    if settings.grad_checkpointing:
        recompute_blocks(encoder)
    low_rank = None
    if settings.lora is not None:
        low_rank = LowRankUpdates(encoder, settings.lora, settings.seed)
    objective = _place(objective, device)
    probes = None if probes is None else _place(probes, device)
    loader = Loader(
        train,
        _growing_views(views, settings),
        settings.batch_size // collectives.world(),
        seed=settings.seed,
        workers=settings.workers,
        device=device,
        rank=collectives.rank(),
        world=collectives.world(),
        window=settings.window,
        drop_last=True,
        targets=targets,
    )
    trainer = Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=optimizer_factory(settings)([encoder, objective], settings.fused_optimizer),
        lr=settings.lr,
        total_steps=settings.epochs * len(loader),
        warmup_steps=round(settings.warmup_epochs * len(loader)),
        steps_per_epoch=len(loader),
        ema_start=settings.ema_start,
        precision=pick_precision(settings.compute_dtype or settings.precision, device),
        device=device,
        seed=settings.seed,
        n_global=views.n_global,
        micro_batch=settings.micro_batch_size,
        clip_norm=settings.clip_norm,
        pool=_negative_pool(objective.pool, train, views, settings.seed, device),
        observer=probes,
        average_momentum=settings.ema_weights,
        low_rank=low_rank,
        frozen_steps=round((settings.frozen_epochs or 0) * len(loader)),
    )
    if trainer.frozen_steps and not any(p.requires_grad for p in objective.parameters()):
        raise ValueError(
            f"frozen_epochs: objective {settings.objective} has no heads that could learn alone"
        )
    return Parts(
        source=source,
        train=train,
        sample=sample,
        held_out=settings.holdout > 0,
        views=views,
        encoder=encoder,
        objective=objective,
        loader=loader,
        trainer=trainer,
        probes=probes,
        notes=tuple(notes),
    )


def optimizer_factory(settings: ResolvedPretrain) -> OptimizerFactory:
    """What makes the optimizer of a run, plain or fused."""
    return lambda modules, fused: build_optimizer(
        settings.optimizer,
        modules,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
        fused=fused,
    )


def compile_encoders(parts: Parts, settings: ResolvedPretrain) -> list[str]:
    """Compile encoder and teacher; a line for what cannot be compiled.

    All ranks call it together, and all compile or none.
    """
    batch = parts.loader.batch_size
    micro_batch = min(batch, settings.micro_batch_size or batch)
    device = parts.trainer.device
    sizes = [v.size for v in parts.views.recipes]
    return parts.trainer.compile(
        [
            torch.zeros(micro_batch, parts.encoder.channels, size, size, device=device)
            for size in sizes
        ]
    )


def _build_modules(
    settings: ResolvedPretrain, *, with_init: bool
) -> tuple[Encoder, Objective, list[str]]:
    """Encoder and objective by the seed, and notes on weights that were left aside."""
    encoder, objective = build_untrained(
        settings, pretrained=with_init and settings.init == "pretrained"
    )
    notes: list[str] = []
    if with_init and settings.init == "pretrained" and encoder.channels != 3:
        notes.append(f"{encoder.name}: {adaptation(encoder.channels)}")
    if with_init and settings.init is not None and settings.init != "pretrained":
        report = load_weights(encoder, weights_file(settings.init), log=Log(notes.append))
        if report.unused or report.others or report.notes:
            notes.append(str(report))
    if with_init:
        objective.load_start()
    return encoder, objective, notes


def _place(module: Module, device: torch.device) -> Module:
    """A module on its device, with batch norm over all ranks."""
    module.to(device)
    return module if collectives.world() == 1 else synchronise(module)


def _check_views(
    views: Views, settings: ResolvedPretrain, encoder: Encoder, objective: Objective
) -> None:
    """Refuse views that the objective or the encoder cannot take."""
    if len(views) < objective.least_views:
        raise ValueError(
            f"views {settings.views} are {len(views)} an image; {settings.objective} needs at "
            f"least {objective.least_views}"
        )
    sides = {view.size for view in views.recipes}
    if settings.start_size is not None:
        if len(sides) > 1:
            raise ValueError(
                f"start_size: views {settings.views} are of several sizes already, {sorted(sides)}"
            )
        first, last, epochs = settings.start_size, settings.size, settings.epochs
        sides |= {side(k, epochs=epochs, first=first, last=last) for k in range(epochs)}
    was_training = encoder.training
    encoder.eval()
    for px in sorted(sides):
        try:
            with torch.no_grad():
                encoder(torch.zeros(1, encoder.channels, px, px))
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"encoder {encoder.name} does not take views of {px} px: {reason}"
            ) from None
    encoder.train(was_training)


def _growing_views(views: Views, settings: ResolvedPretrain) -> Views | Callable[[int], Views]:
    """The views, or a function of the epoch where their resolution grows."""
    if settings.start_size is None:
        return views
    first, last, epochs = settings.start_size, settings.size, settings.epochs
    return lambda epoch: views.resized(side(epoch, epochs=epochs, first=first, last=last))


def _build_probes(
    train: Source, encoder: Encoder, objective: Objective, seed: int
) -> tuple[LayerProbes | None, list[str]]:
    """Linear probes of every layer, where there are labels of at least two classes; notes."""
    labels = train.labels
    if labels is None or len(np.unique(labels[labels >= 0])) < 2:
        return None, []
    if problem := label_numbering_problem(train):
        return None, [f"no online probes: {problem}"]
    widths = {"backbone": encoder.dim, **_layer_widths(objective, encoder.dim)}
    return LayerProbes(widths, int(labels.max()) + 1, seed=seed), []


def _layer_widths(objective: Objective, dim: int) -> dict[str, int]:
    """Widths of the objective's layers, measured by a forward pass."""
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


def _negative_pool(
    count: int, train: Source, views: Views, seed: int, device: torch.device
) -> torch.Tensor | None:
    """Patches that serve as the only negatives: one view each of `count` images, by the seed."""
    if not count:
        return None
    rows = np.random.default_rng(seed).permutation(len(train))[:count]
    loader = Loader(Subset(train, rows), views, count, seed=seed, shuffle=False)
    return next(iter(loader)).views[0].to(device)
