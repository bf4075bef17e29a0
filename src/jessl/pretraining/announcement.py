"""What is printed before a training: its settings, and how long it will take."""

from __future__ import annotations

import copy
import statistics
import time
from pathlib import Path

import torch

from jessl.config import ResolvedPretrain
from jessl.core import collectives
from jessl.core.log import Log
from jessl.core.progress import duration
from jessl.pretraining.build import Parts, optimizer_factory
from jessl.training.progressive_resize import mean_cost
from jessl.training.tuning.outcome import Tuning
from jessl.training.tuning.trial import copy_trainer

# steps whose median is the estimate of the time, after one to warm up
_TIMED_STEPS = 3


def announce(
    path: Path, settings: ResolvedPretrain, parts: Parts, tuning: Tuning | None, log: Log
) -> None:
    """Print the settings of a run and its expected time. All ranks call it together."""
    trainer = parts.trainer
    start = trainer.step
    seconds = seconds_per_step(parts, settings) * (trainer.total_steps - start)
    counts = (
        f"{len(parts.train):,} to train on, {len(parts.sample):,} held out for evaluation"
        if parts.held_out
        else f"all to train on, {len(parts.sample):,} of them evaluated on the way"
    )
    options = " ".join(f"{k}={v}" for k, v in settings.objective_options.items())
    weights = f"weights of {settings.init}" if settings.init else "random weights"
    world = collectives.world()
    where = f"{trainer.device}" if world == 1 else f"{world} processes ({trainer.device.type})"
    log.info(f"run       {path}" + (f", resumed at step {start:,}" if start else ""))
    log.info(f"data      {parts.source.name}: {len(parts.source):,} images, {counts}")
    log.info(f"views     {len(parts.views)} of {settings.size} px by {settings.views}")
    log.info(f"encoder   {parts.encoder.name}, {parts.encoder.dim} features, {weights}")
    log.info(f"objective {settings.objective} {options}".rstrip())
    if settings.teacher is not None:
        log.info(
            f"teacher   {settings.teacher}, {parts.objective.target_dim} features of the plain "
            f"images, SHA-256 {str(settings.teacher_sha256)[:12]}"
        )
    log.info(
        f"training  {settings.epochs} epochs of {len(parts.loader)} steps of "
        f"{settings.batch_size} images on {where}, {settings.optimizer}, peak rate {trainer.lr:.3g}"
    )
    if tuning is not None:
        log.info(f"speed     {tuning}")
    log.info(f"time      about {duration(seconds)}, without the evaluations on the way")


def seconds_per_step(parts: Parts, settings: ResolvedPretrain) -> float:
    """Mean time of a step from here on, measured by a few steps on copies of the modules.

    The training is left untouched. All ranks call it together.
    """
    factory = optimizer_factory(settings)
    trainer = copy_trainer(parts.trainer, factory, fused=settings.fused_optimizer)
    loader = copy.copy(parts.loader)
    loader.epoch = epoch = min(parts.loader.epoch, settings.epochs - 1)
    times: list[float] = []
    gpus = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        since = time.perf_counter()
        for batch in loader:
            trainer.take_step(batch.views, batch.labels, batch.targets)
            if gpus:
                torch.cuda.synchronize(trainer.device)
            times.append(time.perf_counter() - since)
            if len(times) > _TIMED_STEPS:
                break
            since = time.perf_counter()
    first = settings.start_size or settings.size
    growth = mean_cost(epoch, epochs=settings.epochs, first=first, last=settings.size)
    return statistics.median(times[1:] or times) * growth
