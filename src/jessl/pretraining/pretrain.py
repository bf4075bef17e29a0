"""The verb `jessl.pretrain`: a configuration in, a run folder out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from jessl import records
from jessl.config import Pretrain, ResolvedPretrain
from jessl.core import collectives, files
from jessl.core.devices import deterministic
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT, Log
from jessl.core.process_group import is_rank_zero, on_all_ranks, on_rank_zero, process_group
from jessl.core.progress import duration
from jessl.data import Source
from jessl.pretraining import defaults
from jessl.pretraining import evaluate as judge
from jessl.pretraining.build import Parts, build, compiled_notes, open_data, seconds_per_step
from jessl.pretraining.finish import draw_views, finish
from jessl.pretraining.progress_bar import TrainingProgressBar
from jessl.pretraining.run_folder import (
    claim,
    out_folder,
    same_data,
    same_everywhere,
    same_views,
)
from jessl.records import Record
from jessl.runs import Run
from jessl.training import checkpoint
from jessl.training import collapse as watch
from jessl.training.loop import Progress, train


def pretrain(
    config: Pretrain,
    *,
    source: Source | None = None,
    quiet: bool = False,
    stop: Callable[[], bool] = lambda: False,
    given: frozenset[str] = frozenset(),
    on_judged: Callable[[int, dict[str, float]], None] = lambda _epoch, _numbers: None,
) -> Run:
    """Pretrain an encoder and judge it without labels.

    Args:
        config: what to do; what is None is chosen from the data and told.
        source: the images, when they are open already (config.data then only names them).
        quiet: print nothing.
        stop: asked between two steps; True saves the state and raises Stopped.
        given: fields of config that were asked for even where they have their default: a resumed
            run that differs there is refused.
        on_judged: told (epochs done, scores by "NAME/LAYER") after every judgement on the way, by
            the first process; with `stop` it can end a training that falls behind.

    Started by torchrun (or anything that sets its environment), the processes train together: each
    has its share of every batch, the first one writes, judges and tells.

    Returns:
        The run folder: checkpoints, records, embeddings of the training images at backbone and
        projector, RankMe of both with its error bar.

    Raises:
        ValueError: for a configuration or data that cannot be trained, naming what is wrong.
        Stopped: when `stop` said so.
    """
    with process_group(config.device) as device, ExitStack() as stack:
        on_rank_zero(lambda: defaults.check_config(config))
        loud = on_rank_zero(lambda: not quiet)
        log = Log() if is_rank_zero() and loud else SILENT
        run = Run(on_rank_zero(lambda: out_folder(config)))
        on_rank_zero(lambda: stack.enter_context(files.locked(run.path)))
        config, fresh = on_rank_zero(lambda: claim(run, config, log, given))
        stack.enter_context(deterministic(config.deterministic))
        opened = source if source is not None else _opened(config)
        same_everywhere(opened)
        if not fresh:
            on_rank_zero(lambda: same_data(run, opened))
            if on_rank_zero(run.finished):
                log.info(f"{run.path} is finished: nothing to resume")
                return run
        latest = _latest(run, log)
        chosen = (
            config
            if isinstance(config, ResolvedPretrain)
            else on_rank_zero(lambda: defaults.resolve(config, opened, device))
        )
        on_all_ranks(lambda: defaults.check_even_batch(chosen.batch_size))
        parts = on_all_ranks(lambda: build(chosen, opened, device, with_init=latest is None))
        if fresh:
            facts = _facts(parts)
            on_rank_zero(lambda: run.write_config(config, _with_stem(chosen, parts), facts))
        on_rank_zero(lambda: same_views(run, parts.views, chosen.views))
        for note in (*opened.notes, *parts.notes, *compiled_notes(parts)):
            log.note(note)
        # dropout and its like draw from the global generators: they are ours from here to the end
        with torch.random.fork_rng(devices=_gpus(device)):
            torch.manual_seed(chosen.seed + collectives.rank())
            _resume(run, parts, latest)
            if loud:
                _announce(run, parts, log)
            on_rank_zero(lambda: draw_views(run, parts))
            quiet = not (loud and is_rank_zero())
            _train(run, parts, log, quiet=quiet, stop=stop, on_judged=on_judged)
        on_rank_zero(lambda: finish(run, parts, log, stop))
    return run


def _opened(config: Pretrain) -> Source:
    """The images; what has to be fetched is fetched by the first process alone."""
    first: list[Source] = []
    on_rank_zero(lambda: first.append(open_data(config)))
    return on_all_ranks(lambda: first[0] if first else open_data(config))


def _latest(run: Run, log: Log) -> checkpoint.Checkpoint | None:
    """The newest checkpoint that can be read: the same one on all processes."""
    found, notes = on_rank_zero(lambda: _newest(run))
    for note in notes:
        log.note(f"{note}; the one before it is taken, or the training begins again")
    return None if found is None else on_all_ranks(lambda: checkpoint.load(found))


def _newest(run: Run) -> tuple[Path | None, list[str]]:
    latest, notes = checkpoint.load_latest(run.checkpoints)
    return (None if latest is None else latest.path), notes


def _gpus(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _facts(parts: Parts) -> dict[str, Any]:
    return {
        "dim": parts.encoder.dim,
        "n_images": len(parts.source),
        "n_train": len(parts.train),
        "n_sample": len(parts.sample),
        "held_out": parts.held_out,
        "steps_per_epoch": len(parts.loader),
        "total_steps": parts.trainer.total_steps,
        "processes": collectives.world(),
        "parameters": sum(p.numel() for p in parts.encoder.parameters()),
        "data_fingerprint": parts.source.fingerprint(),
        "device": str(parts.trainer.device),
        "torch_threads": torch.get_num_threads(),
        "versions": records.versions(),
    }


def _with_stem(chosen: ResolvedPretrain, parts: Parts) -> ResolvedPretrain:
    """Stem and full name of the encoder as built: what builds it again."""
    stem = parts.encoder.stem
    return dataclasses.replace(
        chosen,
        encoder=parts.encoder.name,
        stem=None if parts.encoder.name.startswith("smallconv") else stem,
    )


def _resume(run: Run, parts: Parts, latest: checkpoint.Checkpoint | None) -> None:
    """Take up a checkpoint where there is one; forget the records that came after it."""
    step = 0
    if latest is not None:
        step = latest.step
        checkpoint.restore(parts.trainer.modules(), latest.tensors, latest.path)
        parts.trainer.load_state(step, latest.state["trainer"])
        parts.loader.load_state_dict(latest.state["loader"])
    on_rank_zero(lambda: records.keep_records(run.path, lambda r: r.step is None or r.step <= step))


def _announce(run: Run, parts: Parts, log: Log) -> None:
    """Say what was chosen and how long it will take."""
    c, trainer = parts.config, parts.trainer
    start = trainer.step
    per_epoch = len(parts.loader)
    seconds = seconds_per_step(parts) * (trainer.total_steps - start)
    counted = (
        f"{len(parts.train):,} to train on, {len(parts.sample):,} held out to judge"
        if parts.held_out
        else f"all to train on, {len(parts.sample):,} of them judged on the way"
    )
    options = " ".join(f"{k}={v}" for k, v in c.objective_options.items())
    weights = f"weights of {c.init}" if c.init else "random weights"
    rate = f"{c.optimizer}, peak rate {trainer.lr:.3g}"
    log.info(f"run       {run.path}" + (f", resumed at step {start:,}" if start else ""))
    log.info(f"data      {parts.source.name}: {len(parts.source):,} images, {counted}")
    log.info(f"views     {len(parts.views)} of {c.size} px by {c.views}")
    log.info(f"encoder   {parts.encoder.name}, {parts.encoder.dim} features, {weights}")
    log.info(f"objective {c.objective} {options}".rstrip())
    world = collectives.world()
    where = f"{trainer.device}" if world == 1 else f"{world} processes ({trainer.device.type})"
    log.info(
        f"training  {c.epochs} epochs of {per_epoch} steps of {c.batch_size} images on "
        f"{where}, {rate}"
    )
    log.info(f"time      about {duration(seconds)}, without the judging on the way")


def _train(
    run: Run,
    parts: Parts,
    log: Log,
    *,
    quiet: bool,
    stop: Callable[[], bool],
    on_judged: Callable[[int, dict[str, float]], None],
) -> None:
    """Train to the end, writing records and checkpoints; raises Stopped when asked to stop."""
    c, trainer = parts.config, parts.trainer
    every, evaluate = c.checkpoint_epochs, c.evaluate_epochs
    versions = records.versions()
    written = time.monotonic()
    warned = False

    def save() -> None:
        nonlocal written
        state = {"trainer": trainer.state(), "loader": parts.loader.state_dict()}
        on_rank_zero(lambda: _write(run, parts, state))
        written = time.monotonic()

    def logged(progress: Progress) -> None:
        values = {
            "loss": progress.loss,
            **{f"loss/{k}": v for k, v in progress.parts.items()},
            **{f"spread/{k}": v for k, v in progress.spread.items()},
            "learning_rate": progress.learning_rate,
            "images_per_second": progress.images_per_second,
        }
        records.append(run.path, _records(run, progress, values, "train", versions))
        bar.update(progress)
        warn(watch.collapse(progress.spread, {}))

    def warn(note: str | None) -> None:
        """A sign of collapse is told once."""
        nonlocal warned
        if note is not None and not warned:
            warned = True
            log.warning(note)

    def judged(epoch: int) -> None:
        numbers = judge.online(
            parts.encoder,
            parts.objective,
            parts.sample,
            workers=c.workers,
            probes=trainer.observer,
        )
        on_rank_zero(lambda: told(epoch, numbers))

    def told(epoch: int, numbers: dict[str, float]) -> None:
        split = records.HELD_OUT if parts.held_out else records.PRETRAIN_SAMPLE
        here = Progress(trainer.step, epoch, 0.0, {}, 0.0, 0.0, trainer.seconds)
        records.append(run.path, _records(run, here, numbers, split, versions))
        bar.judged(numbers)
        ranks = {k.removeprefix("rankme/"): v for k, v in numbers.items() if k[:7] == "rankme/"}
        warn(watch.collapse({}, ranks))
        on_judged(epoch, numbers)

    def on_epoch(epoch: int) -> None:
        last = epoch == c.epochs
        if evaluate and (epoch % evaluate == 0 or last):
            judged(epoch)
        if epoch % every == 0 or last:
            save()

    if trainer.step >= trainer.total_steps:
        return
    with TrainingProgressBar(trainer.total_steps, start=trainer.step, quiet=quiet) as bar:
        done = train(
            trainer,
            parts.loader,
            epochs=c.epochs,
            log_steps=c.log_steps,
            on_log=lambda progress: on_rank_zero(lambda: logged(progress)),
            on_epoch=on_epoch,
            checkpoint_due=lambda: time.monotonic() - written > c.checkpoint_seconds,
            on_checkpoint=save,
            stop=stop,
        )
    if not done:
        raise Stopped(f"stopped at step {trainer.step}; the state is saved in {run.path}")


def _write(run: Run, parts: Parts, state: dict[str, Any]) -> None:
    checkpoint.save(run.checkpoints, parts.trainer.step, parts.trainer.modules(), state)
    checkpoint.prune(run.checkpoints, parts.config.keep_checkpoints)


def _records(
    run: Run, at: Progress, values: dict[str, float], split: str, versions: str
) -> list[Record]:
    return [
        Record(
            run=run.name,
            step=at.step,
            epoch=at.epoch,
            split=split,
            name=name,
            value=value,
            seconds=at.seconds,
            versions=versions,
        )
        for name, value in values.items()
    ]
