"""The verb `jessl.pretrain`: a configuration in, a run folder out."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jessl import records
from jessl.config import Pretrain
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extract import LAYERS, extract
from jessl.pictures import write_grid
from jessl.pretraining import judge, plan
from jessl.pretraining.parts import (
    Parts,
    build,
    judged_images,
    open_data,
    seconds_per_step,
    view_rows,
)
from jessl.pretraining.progress import Bar, duration, say
from jessl.records import Record
from jessl.runs import Run, is_run
from jessl.training import checkpoint
from jessl.training.devices import pick_device
from jessl.training.loop import Progress, train

# fields that a resumed run may change: they do not change what is computed
_FREE = {
    "resume", "out", "workers", "device", "keep_checkpoints", "checkpoint_seconds",
}  # fmt: skip


class Stopped(Exception):
    """The training was asked to stop; its state is saved and `resume` goes on from it."""


def pretrain(
    config: Pretrain,
    *,
    source: Source | None = None,
    quiet: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Pretrain an encoder and judge it without labels.

    Args:
        config: what to do; what is None is chosen from the data and told.
        source: the images, when they are open already (config.data then only names them).
        quiet: print nothing.
        stop: asked between two steps; True saves the state and raises Stopped.

    Returns:
        The run folder: checkpoints, records, embeddings of the training images at backbone and
        projector, RankMe of both with its error bar.

    Raises:
        ValueError: for a configuration or data that cannot be trained, naming what is wrong.
        Stopped: when `stop` said so.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("pretrain runs in one process so far; start it without torchrun")
    tell = (lambda _: None) if quiet else say
    run, config, fresh = _claim(config, tell)
    with _alone(run):
        device = pick_device(config.device)
        opened = source if source is not None else open_data(config)
        if not fresh:
            _same_data(run, opened)
        chosen = plan.choose(config, opened, device) if fresh else config
        parts = build(chosen, opened, device)
        if fresh:
            run.write_config(config, _with_stem(chosen, parts), _facts(parts))
        start = _resume(run, parts, tell) if not fresh else 0
        if not fresh and run.finished():
            tell(f"{run.path} is finished: nothing to resume")
            return run
        for note in (*opened.notes, *parts.notes):
            tell(f"note: {note}")
        if not quiet:
            _announce(run, parts, start, tell)
        if fresh:
            rows = view_rows(parts.train, parts.views, seed=chosen.seed)
            columns = ("image", *(f"view {k}" for k in range(1, len(rows[0]))))
            write_grid(run.path / "views.png", rows, columns=columns)
        _train(run, parts, quiet=quiet, stop=stop)
        _finish(run, parts, tell)
    return run


def _claim(config: Pretrain, tell: Callable[[str], None]) -> tuple[Run, Pretrain, bool]:
    """The run folder, the configuration that holds for it, and whether it is a new run."""
    path = Path(config.out) if config.out else _free_folder(config)
    run = Run(path)
    if not is_run(path):
        if path.is_file() or (path.is_dir() and any(p.name != ".lock" for p in path.iterdir())):
            what = "a file" if path.is_file() else "a folder with other things in it"
            raise ValueError(f"out {path} is {what}; give an empty or new folder")
        if config.resume:
            tell(f"nothing to resume in {path}: a new run begins")
        return run, config, True
    if not config.resume:
        raise ValueError(
            f"out {path} holds a run already; add --resume to go on with it, or give another folder"
        )
    stored = run.asked()
    _refuse_changes(path, stored, config)
    free = {name: getattr(config, name) for name in _FREE}
    return run, dataclasses.replace(run.chosen(), **free), False


def _free_folder(config: Pretrain) -> Path:
    """runs/OBJECTIVE-1, -2, ...: the first that is not there."""
    if config.resume:
        raise ValueError("resume needs out: the folder of the run to go on with")
    k = 1
    while (path := Path("runs") / f"{config.objective}-{k}").exists():
        k += 1
    return path


def _refuse_changes(path: Path, stored: Pretrain, config: Pretrain) -> None:
    """A resumed run keeps its settings: one that is given anew must be what it was."""
    defaults = Pretrain(data=config.data)
    for field in dataclasses.fields(Pretrain):
        now, then = getattr(config, field.name), getattr(stored, field.name)
        if field.name in _FREE or now == then:
            continue
        if now == getattr(defaults, field.name) and field.name != "data":
            continue
        raise ValueError(
            f"cannot resume {path} with {field.name} {now!r}: the run has {then!r}; leave it "
            f"out, or start a new run with --init {path}"
        )


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Keep two writers out of one run folder; the lock goes with the process that holds it."""
    from filelock import FileLock, Timeout

    run.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process is writing {run.path}; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _facts(parts: Parts) -> dict[str, Any]:
    return {
        "dim": parts.encoder.dim,
        "n_images": len(parts.source),
        "n_train": len(parts.train),
        "n_sample": len(parts.sample),
        "held_out": parts.held_out,
        "steps_per_epoch": len(parts.loader),
        "total_steps": parts.trainer.total_steps,
        "parameters": sum(p.numel() for p in parts.encoder.parameters()),
        "data_fingerprint": parts.source.fingerprint(),
        "device": str(parts.trainer.device),
        "torch_threads": torch.get_num_threads(),
        "versions": records.versions(),
    }


def _with_stem(chosen: Pretrain, parts: Parts) -> Pretrain:
    """Stem and full name of the encoder as built: what builds it again."""
    stem = parts.encoder.stem
    return dataclasses.replace(
        chosen,
        encoder=parts.encoder.name,
        stem=None if parts.encoder.name.startswith("smallconv") else stem,
    )


def _same_data(run: Run, source: Source) -> None:
    then = run.facts().get("data_fingerprint")
    if then != source.fingerprint():
        raise ValueError(
            f"cannot resume {run.path}: {source.name} holds other images or labels than when the "
            f"run began; start a new run with --init {run.path}"
        )


def _resume(run: Run, parts: Parts, tell: Callable[[str], None]) -> int:
    """Load the newest readable checkpoint; forget the records that came after it."""
    latest, notes = checkpoint.load_latest(run.checkpoints)
    for note in notes:
        tell(f"note: {note}; the checkpoint before it is taken")
    step = 0
    if latest is not None:
        step = latest.step
        checkpoint.restore(parts.trainer.modules(), latest.tensors, latest.path)
        parts.trainer.load_state(step, latest.state["trainer"])
        parts.loader.load_state_dict(latest.state["loader"])
    records.keep(run.path, lambda r: r.step is None or r.step <= step)
    return step


def _announce(run: Run, parts: Parts, start: int, tell: Callable[[str], None]) -> None:
    """Say what was chosen and how long it will take."""
    c, trainer = parts.config, parts.trainer
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
    tell(f"run       {run.path}" + (f", resumed at step {start:,}" if start else ""))
    tell(f"data      {parts.source.name}: {len(parts.source):,} images, {counted}")
    tell(f"views     {len(parts.views)} of {c.size} px by {c.views}")
    tell(f"encoder   {parts.encoder.name}, {parts.encoder.dim} features, {weights}")
    tell(f"objective {c.objective} {options}".rstrip())
    tell(
        f"training  {c.epochs} epochs of {per_epoch} steps of {c.batch_size} images on "
        f"{trainer.device}, {rate}"
    )
    tell(f"time      about {duration(seconds)}, without the judging on the way")


def _train(run: Run, parts: Parts, *, quiet: bool, stop: Callable[[], bool]) -> None:
    """Train to the end, writing records and checkpoints; raises Stopped when asked to stop."""
    c, trainer = parts.config, parts.trainer
    assert c.epochs is not None
    assert c.log_steps is not None
    assert c.checkpoint_epochs is not None
    every, evaluate = c.checkpoint_epochs, c.evaluate_epochs
    versions = records.versions()
    written = time.monotonic()

    def save() -> None:
        nonlocal written
        state = {"trainer": trainer.state(), "loader": parts.loader.state_dict()}
        checkpoint.save(run.checkpoints, trainer.step, trainer.modules(), state)
        checkpoint.prune(run.checkpoints, c.keep_checkpoints)
        written = time.monotonic()

    def on_log(progress: Progress) -> None:
        values = {
            "loss": progress.loss,
            **{f"loss/{k}": v for k, v in progress.parts.items()},
            "learning_rate": progress.learning_rate,
            "images_per_second": progress.images_per_second,
        }
        records.append(run.path, _records(run, progress, values, "train", versions))
        bar.update(progress)

    def on_epoch(epoch: int) -> None:
        last = epoch == c.epochs
        if evaluate and (epoch % evaluate == 0 or last):
            numbers = judge.online(parts.encoder, parts.objective, parts.sample, workers=c.workers)
            split = records.HELD_OUT if parts.held_out else records.SEEN_SAMPLE
            here = Progress(trainer.step, epoch, 0.0, {}, 0.0, 0.0, trainer.seconds)
            records.append(run.path, _records(run, here, numbers, split, versions))
            bar.judged(numbers)
        if epoch % every == 0 or last:
            save()

    if trainer.step >= trainer.total_steps:
        return
    with Bar(trainer.total_steps, start=trainer.step, quiet=quiet) as bar:
        done = train(
            trainer,
            parts.loader,
            epochs=c.epochs,
            log_steps=c.log_steps,
            on_log=on_log,
            on_epoch=on_epoch,
            checkpoint_due=lambda: time.monotonic() - written > c.checkpoint_seconds,
            on_checkpoint=save,
            stop=stop,
        )
    if not done:
        raise Stopped(f"stopped at step {trainer.step}; the state is saved in {run.path}")


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


def _finish(run: Run, parts: Parts, tell: Callable[[str], None]) -> None:
    """Judge the trained encoder on its training images and draw its nearest neighbours."""
    images = judged_images(parts.train, judge.MOST_IMAGES, parts.config.seed)
    found = extract(
        parts.encoder,
        parts.objective,
        images,
        layers=LAYERS,
        workers=parts.config.workers,
        meta={"encoder": parts.encoder.name, "weights": f"run {run.name}"},
    )
    for layer in LAYERS:
        found[layer].save(run.embeddings(layer))
    skipped = {**parts.loader.skipped, **found["backbone"].meta["unreadable"]}
    if skipped:
        where, reason = next(iter(skipped.items()))
        tell(
            f"note: {len(skipped)} images cannot be read and were left out, e.g. {where}: {reason}"
        )
    _draw_neighbours(run, found["backbone"], images)
    judged = judge.final(
        found, run=run.name, step=parts.trainer.step, seconds=parts.trainer.seconds
    )
    if skipped:
        judged.insert(
            0,
            Record(
                run=run.name,
                step=parts.trainer.step,
                split="pretrain",
                name="unreadable",
                value=float(len(skipped)),
                extra={"images": skipped},
            ),
        )
    versions = records.versions()
    records.append(run.path, [dataclasses.replace(r, versions=versions) for r in judged])
    for r in judged:
        if r.name.startswith("rankme/") and isinstance(r.value, float):
            n, d, debiased = r.extra["n"], r.extra["d"], r.extra["debiased"]
            sd = f" ± {r.sd:.2f}" if r.sd is not None else ""
            bars = sd if debiased is None else f" (debiased {debiased:.2f}{sd})"
            tell(f"RankMe    {r.value:.2f}{bars} at the {r.name[7:]}, n {n:,}, d {d}")
            for warning in r.extra["warnings"]:
                tell(f"  warning: {warning}")


def _draw_neighbours(run: Run, embeddings: Embeddings, images: Source, count: int = 6) -> None:
    """A picture of a few images, each with the images that the encoder finds most alike."""
    n = len(embeddings)
    if n < 2:
        return
    rows = np.unique(np.linspace(0, n - 1, min(count, n)).round().astype(int))
    near = judge.neighbours(embeddings, rows, min(7, n - 1))
    at = {int(i): k for k, i in enumerate(images.ids)}
    read = [
        [images.read(at[int(embeddings.ids[j])]) for j in (row, *others)]
        for row, others in zip(rows, near, strict=True)
    ]
    columns = ("image", "nearest", *(f"{k}." for k in range(2, near.shape[1] + 1)))
    write_grid(run.path / "neighbours.png", read, columns=columns)
