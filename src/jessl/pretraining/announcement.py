"""What is printed before a training: its settings, and how long it will take."""

from __future__ import annotations

import copy
import math
import statistics
import time
from pathlib import Path

import torch

from jessl.config import ResolvedPretrain
from jessl.core import collectives
from jessl.core.log import Log
from jessl.core.progress import duration
from jessl.pretraining.build import Parts, optimizer_factory
from jessl.pretraining.judging import JudgingTime, time_judging
from jessl.training.progressive_resize import mean_cost
from jessl.training.tuning.outcome import Tuning
from jessl.training.tuning.trial import copy_trainer

# steps whose median is the estimate of the time, after one to warm up
_TIMED_STEPS = 3
# a run that takes longer is told what would be shorter
_LONG_SECONDS = 3600.0
# pixels; half of a smaller view shows little
_SMALLEST_HALVED = 64


def announce(
    path: Path, settings: ResolvedPretrain, parts: Parts, tuning: Tuning | None, log: Log
) -> JudgingTime:
    """Print the settings of a run and its expected time. All ranks call it together.

    Returns:
        The expected time of the evaluations.
    """
    trainer = parts.trainer
    start = trainer.step
    judging = time_judging(parts, settings)
    training = seconds_per_step(parts, settings) * (trainer.total_steps - start)
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
    log.info(
        f"time      about {duration(training + judging.total)}, "
        f"{duration(judging.total)} of it for judging"
    )
    epochs_left = settings.epochs - start / len(parts.loader)
    options = shorter_options(settings, parts.encoder.name, epochs_left, training, judging)
    if options:
        log.info(f"shorter:  {options}")
    return judging


def shorter_options(
    settings: ResolvedPretrain,
    encoder: str,
    epochs_left: float,
    training: float,
    judging: JudgingTime,
) -> str:
    """What would end earlier than a run of more than an hour; empty for a shorter one.

    Args:
        epochs_left: from here on, which take `training` seconds.
    """
    total = training + judging.total
    if total <= _LONG_SECONDS:
        return ""
    options = []
    fixed = judging.untrained + judging.final
    an_epoch = (total - fixed) / epochs_left if epochs_left > 0 else 0.0
    done = settings.epochs - epochs_left
    if an_epoch > 0:
        # as many as fit into the hour, and at least one more than are done
        epochs = math.floor(done + max(1.0, (_LONG_SECONDS - fixed) / an_epoch))
        if epochs < settings.epochs:
            expected = duration(fixed + (epochs - done) * an_epoch)
            options.append(f"--epochs {epochs} (about {expected})")
    # half the size is a multiple of all strides of an encoder where it is one of 16
    if settings.size >= _SMALLEST_HALVED and settings.size % 32 == 0 and not settings.start_size:
        options.append(f"--size {settings.size // 2} (down to about {duration(total / 4)})")
    options.append(f"an encoder smaller than {encoder}")
    return ", ".join(options)


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
