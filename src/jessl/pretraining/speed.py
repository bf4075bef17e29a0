"""The speed of a new run: its settings that were left open, measured before the first step."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Generator
from dataclasses import dataclass

import torch

from jessl.config import Pretrain, ResolvedPretrain
from jessl.core import collectives
from jessl.core.log import Log
from jessl.core.process_group import on_rank_zero
from jessl.core.progress import duration
from jessl.core.resources import available_memory, usable_cores
from jessl.pretraining.build import Parts, optimizer_factory
from jessl.training.progressive_resize import mean_cost
from jessl.training.tuning.candidates import SETTINGS, search_space
from jessl.training.tuning.memory import fitting_micro_batch
from jessl.training.tuning.outcome import Tuning
from jessl.training.tuning.search import Search
from jessl.training.tuning.speed import Speed, apply_speed
from jessl.training.tuning.trial import TimedBatch, Trial, start_trial

# what the search may take: of the run, and at most
_SHARE, _MOST_SECONDS = 0.02, 5.0
# a search takes at least a dozen steps; in shorter runs they would be more than its share
_LEAST_STEPS = 500
# images of the first probe of a step, and the least that is measured on
_PROBE = 32
# steps for which the search must have time, and for which the measured batch is made small enough
_LEAST_TIMED, _WANTED_TIMED = 16, 40
# copies of all weights at a time: weights, gradients and two moments of two trials and a teacher
_COPIES = 12


def tune_speed(
    config: Pretrain, settings: ResolvedPretrain, parts: Parts, log: Log
) -> tuple[ResolvedPretrain, Tuning | None]:
    """Choose how a new run computes, and let its trainer compute so.

    Weights, buffers, random generators and the position of the loader stay as they are. All ranks
    call it together; the first one decides.

    Args:
        config: as the user gave it: only what is open there is changed.
        settings: of the run.
        parts: of the run; the trainer is changed in place, but for compilation.
        log: gets a line before a search that takes seconds.

    Returns:
        The settings as chosen, and what was measured; None where nothing was.
    """
    if not config.tune or config.deterministic:
        return settings, None
    trainer = parts.trainer
    gpus = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        settings = _fit_memory(config, settings, parts, log)
        if trainer.total_steps < _LEAST_STEPS or not _copies_fit(parts, log):
            tuning = None
        else:
            tuning = _search(config, settings, parts, log)
    if tuning is None:
        return settings, None
    speed = tuning.speed
    settings = dataclasses.replace(
        settings,
        compute_dtype=speed.precision,
        channels_last=speed.channels_last,
        compile=settings.compile or speed.compile,
        fused_optimizer=speed.fused_optimizer,
        torch_threads=speed.threads,
    )
    apply_speed(trainer, speed, optimizer_factory(settings))
    return settings, tuning


def _fit_memory(
    config: Pretrain, settings: ResolvedPretrain, parts: Parts, log: Log
) -> ResolvedPretrain:
    """On a GPU, let as many images through the encoder at a time as its memory holds."""
    trainer = parts.trainer
    alone = collectives.world() == 1  # of several processes one could fail while the others wait
    if trainer.device.type != "cuda" or config.micro_batch_size is not None or not alone:
        return settings
    n = parts.loader.batch_size
    views = [
        torch.randn(n, 3, view.size, view.size, device=trainer.device)
        for view in parts.views.recipes
    ]
    labels = torch.zeros(n, dtype=torch.int64) if trainer.objective.uses_labels else None
    width = trainer.objective.target_dim
    targets = torch.randn(n, width) if width else None
    micro_batch = fitting_micro_batch(
        trainer, TimedBatch(views, labels, targets), optimizer_factory(settings)
    )
    if micro_batch is None:
        return settings
    log.note(
        f"a batch of {n} images does not fit in the memory of the GPU; {micro_batch} go through "
        f"the encoder at a time (--micro-batch-size {micro_batch}), the loss is that of all"
    )
    trainer.micro_batch = micro_batch
    return dataclasses.replace(settings, micro_batch_size=micro_batch)


def _copies_fit(parts: Parts, log: Log) -> bool:
    """Whether copies of the modules leave half of the memory to their activations."""
    trainer = parts.trainer
    weights = sum(
        p.numel() * p.element_size()
        for module in (trainer.encoder, trainer.objective)
        for p in module.parameters()
    )
    if trainer.device.type == "cuda":
        available: int | None = torch.cuda.mem_get_info(trainer.device)[0]
    else:
        available = available_memory()
    fits = on_rank_zero(lambda: available is None or _COPIES * weights < available / 2)
    if not fits:
        log.note("speed: not tuned, since copies of the network would take half of the free memory")
    return fits


@dataclass(frozen=True)
class _Scale:
    """How long things take, in seconds: a step and the loading of n images, and the whole run."""

    n: int
    step: float
    loading: float
    run: float


def _search(config: Pretrain, settings: ResolvedPretrain, parts: Parts, log: Log) -> Tuning | None:
    """Search within the share of the run; None where that is too little time or a step fails."""
    plain, left_open = _open_settings(config, settings)
    scale = on_rank_zero(lambda value: value, _probe(plain, settings, parts))
    if scale is None:
        return None
    since = time.perf_counter() - 4 * scale.step  # the probe counts; kernels that it loaded do not
    budget = min(_MOST_SECONDS, _SHARE * scale.run)
    n = parts.loader.batch_size
    while n // 2 >= scale.n and scale.step * n / scale.n > budget / _WANTED_TIMED:
        n //= 2
    left = on_rank_zero(lambda: budget - (time.perf_counter() - since))
    if left < _LEAST_TIMED * scale.step * n / scale.n:
        if budget == _MOST_SECONDS:  # a long run may want to know
            log.note(
                f"speed: not tuned, since {_LEAST_TIMED} steps of {n} images take longer than "
                f"{_MOST_SECONDS:.0f} s; --channels-last and --precision bfloat16 may be faster"
            )
        return None
    if budget > 2:
        log.info(f"speed     measuring what is fastest here, for at most {budget:.0f} s")
    device = parts.trainer.device
    space = search_space(
        plain, left_open, device=device, optimizer=settings.optimizer, world=collectives.world()
    )
    loads = scale.loading > 0.05 * scale.step or torch.get_num_threads() > usable_cores()
    search = Search(
        trainer=parts.trainer,
        space=space,
        batch=next(_batches(parts, settings, n)),
        optimizer=optimizer_factory(settings),
        batches=(lambda: _batches(parts, settings, n, prefetch=2)) if loads else None,
        seconds=left,
        remaining_seconds=scale.run,
        share=n / parts.loader.batch_size,
        on_compile=lambda seconds: log.info(
            f"speed     trying torch.compile, about {duration(seconds)}"
        ),
    )
    return on_rank_zero(lambda value: value, search.run())


def _open_settings(config: Pretrain, settings: ResolvedPretrain) -> tuple[Speed, frozenset[str]]:
    """The plain settings to begin with, and the names of those that the user left open."""
    fixed = {
        "precision": config.precision != "auto",
        "channels_last": config.channels_last is not None,
        "compile": config.compile is not None,
        "micro_batch": config.micro_batch_size is not None,
    }
    plain = Speed(
        precision=config.precision if fixed["precision"] else "float32",
        channels_last=bool(config.channels_last),
        micro_batch=settings.micro_batch_size,
    )
    return plain, frozenset(name for name in SETTINGS if not fixed.get(name, False))


def _batches(
    parts: Parts, settings: ResolvedPretrain, n: int, prefetch: int = 0
) -> Generator[TimedBatch, None, None]:
    """Batches of n images as the run sees them, from its first on, by a loader of their own."""
    loader = copy.copy(parts.loader)
    loader.batch_size, loader.prefetch, loader.skipped = n, prefetch, {}
    while True:
        loader.epoch = min(parts.loader.epoch, settings.epochs - 1)
        for batch in loader:
            yield TimedBatch(batch.views, batch.labels, batch.targets)


def _probe(plain: Speed, settings: ResolvedPretrain, parts: Parts) -> _Scale | None:
    """Seconds of a step on a few images, and of the whole run; None where a step fails.

    An objective that needs more images than a few, such as one with drawn negatives, gets all.
    """
    whole = parts.loader.batch_size
    least = whole if parts.trainer.pool is not None else min(_PROBE, whole)
    for n in dict.fromkeys((least, whole)):
        batches = _batches(parts, settings, n)
        try:
            trial = start_trial(parts.trainer, plain, next(batches), optimizer_factory(settings))
            since = time.perf_counter()
            trial.batch = next(batches)
            loading = time.perf_counter() - since
            step = _seconds_of_step(trial)
        except (RuntimeError, ValueError):  # the training itself will report it
            continue
        finally:
            batches.close()
        first = settings.start_size or settings.size
        growth = mean_cost(0, epochs=settings.epochs, first=first, last=settings.size)
        run = step * whole / n * parts.trainer.total_steps * growth
        return _Scale(n, step, loading, run)
    return None


def _seconds_of_step(trial: Trial) -> float:
    trial.first_step()
    return min(trial.step()[0] for _ in range(2))
