"""The verb `jessl.pretrain`: a configuration in, a run folder out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch

from jessl.config import Pretrain, ResolvedPretrain
from jessl.core import collectives
from jessl.core.deprecation import renamed_arguments
from jessl.core.devices import deterministic, intra_op_threads
from jessl.core.log import SILENT, Log
from jessl.core.process_group import is_rank_zero, on_rank_zero, process_group, rank_zero
from jessl.data import Source
from jessl.encoders.outside import portable_encoder
from jessl.extraction.open_encoder import trained_on_of_weights
from jessl.extraction.reading import warn_unlike_training
from jessl.objectives import OBJECTIVES
from jessl.pretraining.adaptation import anchor_to_start, keep_start, starts_from_weights
from jessl.pretraining.announcement import announce
from jessl.pretraining.build import build, compile_encoders
from jessl.pretraining.defaults import check_config, resolve
from jessl.pretraining.finish import draw_views, finish
from jessl.pretraining.images import open_images
from jessl.pretraining.judging import JudgingTime
from jessl.pretraining.monitor import TrainingMonitor
from jessl.pretraining.run_folder import open_run_folder
from jessl.pretraining.speed import tune_speed
from jessl.pretraining.teacher import teacher_targets
from jessl.runs import Run
from jessl.tracking import RunTracker, Tracking, check_loggers


@renamed_arguments(given="explicit_fields", on_judged="on_evaluation")
def pretrain(
    config: Pretrain,
    *,
    source: Source | None = None,
    quiet: bool = False,
    stop: Callable[[], bool] = lambda: False,
    explicit_fields: frozenset[str] = frozenset(),
    on_evaluation: Callable[[int, dict[str, float]], None] = lambda _epoch, _scores: None,
    tracker: RunTracker | None = None,
) -> Run:
    """Pretrain an encoder and evaluate it without labels.

    Started by torchrun (or anything that sets its environment), the processes train together: each
    has its share of every batch, and rank zero writes, evaluates and prints.

    Args:
        config: what to train; a field that is None is chosen from the data and printed.
        source: the images, when they are open already (config.data then only names them).
        quiet: print nothing.
        stop: called between two steps; True saves the state and raises Stopped.
        explicit_fields: fields of config that hold even where they have their default: a resumed
            run that differs there is refused.
        on_evaluation: called by rank zero with (epochs done, scores by "NAME/LAYER") after every
            evaluation during training; with `stop` it can end a training that falls behind.
        tracker: follows the records for loggers; started here, closed by the caller, who may add
            records to the run before. None: one by config.log.

    Returns:
        The run folder: checkpoints, records, embeddings of the training images at backbone and
        projector, RankMe of both with its error bar.

    Raises:
        ValueError: for a configuration or data that cannot be trained, naming what is wrong.
        Stopped: when `stop` returned True.

    Example:
        run = jessl.pretrain(jessl.Pretrain(data="digits", out="runs/digits", epochs=2))
    """
    with process_group(config.device) as device, ExitStack() as stack:
        # rank zero's request holds for all
        config, quiet = on_rank_zero(lambda: (config, quiet))
        on_rank_zero(check_config, config)
        config = on_rank_zero(_with_portable_names, config)
        log = Log() if is_rank_zero() and not quiet else SILENT

        # open the run and its images
        folder = stack.enter_context(open_run_folder(config, explicit_fields, log))
        config = folder.config
        on_rank_zero(check_loggers, config.log)  # of a resumed run: as it was begun
        if tracker is None and is_rank_zero():
            tracking = Tracking(config.log, project=config.log_project, log=log)
            tracker = stack.enter_context(tracking.tracker())
        stack.enter_context(deterministic(config.deterministic))
        images = open_images(config, source)
        folder.check_images(images)
        if folder.finished():
            log.info(f"{folder.path} is finished: nothing to resume")
            _follow(tracker, folder.run, SILENT)  # what a logger lacks is logged
            return folder.run
        checkpoint = folder.latest_checkpoint(log)

        # decide what the user left open, and build
        settings = folder.resolved_config or on_rank_zero(resolve, config, images, device)
        targets = teacher_targets(settings, images, folder.path, device, stop=stop, log=log)
        parts = build(settings, images, device, with_init=checkpoint is None, targets=targets)
        if checkpoint is None:
            on_rank_zero(_warn_about_start, settings, images, log)
        tuning = None
        if folder.resolved_config is None:
            settings, tuning = tune_speed(config, settings, parts, log)
        stack.enter_context(intra_op_threads(settings.torch_threads))
        folder.write_settings(settings, parts, tuning)
        notes = compile_encoders(parts, settings) if settings.compile else []
        needs_start = settings.anchor or starts_from_weights(settings, parts.objective)
        if checkpoint is None and needs_start:
            keep_start(folder.run, *parts.evaluated)
        if settings.anchor:
            anchor_to_start(folder.run, parts, settings.anchor)
        for note in (*images.notes, *parts.notes, *notes):
            log.note(note)

        # resume, announce, train, finish
        with _own_random_numbers(device, settings.seed):
            folder.resume(parts, checkpoint)
            judging = JudgingTime()
            if not quiet:
                judging = announce(folder.path, settings, parts, tuning, log)
            _follow(tracker, folder.run, log)
            draw_views(folder.path, parts.train, parts.views, settings.seed)
            monitor = TrainingMonitor(
                folder, parts, settings, log, on_evaluation, quiet=quiet, judging=judging
            )
            monitor.train(stop)
        finish(folder.run, parts, settings, log, stop)
    return folder.run


def _warn_about_start(settings: ResolvedPretrain, images: Source, log: Log) -> None:
    """Warn where the weights to start from were trained on other bands or another range."""
    if settings.init is None or settings.init == "pretrained":
        return
    warn_unlike_training(
        trained_on_of_weights(settings.init),
        images,
        log,
        what="init",
        consequence="the training starts from weights for other channels",
    )


def _with_portable_names(config: Pretrain) -> Pretrain:
    """A training whose objective, encoder and teacher have names that any process finds."""
    encoder, teacher = (
        None if name is None else portable_encoder(name)
        for name in (config.encoder, config.teacher)
    )
    objective = OBJECTIVES.portable_name(config.objective)
    return replace(config, objective=objective, encoder=encoder, teacher=teacher)


@rank_zero
def _follow(tracker: RunTracker | None, run: Run, log: Log) -> None:
    """Have the records of a run logged from here on, and print where."""
    if tracker is not None and (places := tracker.start(run)):
        log.info(f"log       {'; '.join(places)}")


@contextmanager
def _own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Seeded global generators (dropout and its like draw from them); the caller's come back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed + collectives.rank())
        yield
