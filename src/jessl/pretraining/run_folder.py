"""The run folder that a pretraining writes: whose it is, and what it may hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from jessl.config import Pretrain
from jessl.core import files
from jessl.core.log import Log
from jessl.core.process_group import all_gather_object, mark_reported
from jessl.data import Source
from jessl.runs import Run, is_run
from jessl.views import Views
from jessl.views.presets import is_file, save

# fields that a resumed run may change: on one kind of device they do not change what is computed;
# data and labels may lie elsewhere now, their checksum says whether they are the same
_FREE = {"resume", "out", "data", "labels", "workers", "device", "keep_checkpoints"}
_FREE |= {"checkpoint_seconds"}


def claim(
    run: Run, config: Pretrain, log: Log, given: frozenset[str] = frozenset()
) -> tuple[Pretrain, bool]:
    """The configuration that holds for a folder, and whether it is a new run; under its lock."""
    path = run.path
    if not is_run(path):
        if any(p.name != files.LOCK for p in path.iterdir()):
            raise ValueError(
                f"out {path} is a folder with other things in it; give an empty or new folder"
            )
        if config.resume:
            log.info(f"nothing to resume in {path}: a new run begins")
        return config, True
    if not config.resume:
        raise ValueError(
            f"out {path} holds a run already; add --resume to go on with it, or give another folder"
        )
    stored = run.config()
    _refuse_changes(path, stored, config, given)
    # an option left out keeps the stored value: resuming must not prune what was asked to stay
    default = Pretrain(data="")
    changed: dict[str, Any] = {
        n: getattr(config, n) for n in _FREE if getattr(config, n) != getattr(default, n)
    }
    if is_file(config.views):
        changed |= {"views": config.views, "view_options": {}}
    return dataclasses.replace(run.resolved_config(), **changed), False


def out_folder(config: Pretrain) -> Path:
    """Where the run goes: config.out, or runs/OBJECTIVE-1, -2, ...: the first not there.

    Raises:
        ValueError: for a file, or a folder among the images, which would be trained on.
    """
    path = Path(config.out) if config.out else _free_folder(config)
    if path.exists() and not path.is_dir():
        raise ValueError(f"out {path} is a file; give an empty or new folder")
    data = Path(config.data)
    if data.is_dir() and data.resolve() in path.resolve().parents:
        raise ValueError(
            f"out {path} lies in the folder of the images, {data}: its pictures would be trained "
            "on; give a folder elsewhere"
        )
    return path


def _free_folder(config: Pretrain) -> Path:
    if config.resume:
        raise ValueError("resume needs out: the folder of the run to go on with")
    k = 1
    while (path := Path("runs") / f"{config.objective}-{k}").exists():
        k += 1
    return path


def _refuse_changes(path: Path, stored: Pretrain, config: Pretrain, given: frozenset[str]) -> None:
    """A resumed run keeps its settings: one that is given anew must be what it was."""
    defaults = Pretrain(data=config.data)
    for field in dataclasses.fields(Pretrain):
        now, then = getattr(config, field.name), getattr(stored, field.name)
        if field.name in _FREE or now == then:
            continue
        if now == getattr(defaults, field.name) and field.name not in given:
            continue
        if field.name == "views" and is_file(config.views):
            continue  # what it holds counts, not where it lies: see same_views
        raise ValueError(
            f"cannot resume {path} with {field.name} {now!r}: the run has {then!r}; leave it "
            f"out, or start a new run with --init {path}"
        )


def same_views(run: Run, views: Views, name: str) -> None:
    """Keep the views of a new run; refuse to resume one with others, by a file or a new release."""
    if not run.views.exists():
        save(views, run.views)
    elif files.read_json(run.views) != views.as_dict():
        raise ValueError(
            f"cannot resume {run.path}: the views by {name} are not those that the run began "
            f"with; go on with --views {run.views}, or start a new run with --init {run.path}"
        )


def same_everywhere(source: Source) -> None:
    """Refuse processes that do not see the same images and labels: they would train on a mixture.

    Raises:
        ValueError: on all processes, told by the first.
    """
    seen = all_gather_object((len(source), source.fingerprint()))
    if len(set(seen)) > 1:
        counts = ", ".join(f"{n:,}" for n, _ in seen)
        raise mark_reported(
            ValueError(
                f"data: the processes do not see the same images or labels in {source.name} "
                f"(they count {counts}); give all of them the same files"
            )
        )


def same_data(run: Run, source: Source) -> None:
    """Refuse to resume on other images than the run began with."""
    then = run.facts().get("data_fingerprint")
    if then != source.fingerprint():
        raise ValueError(
            f"cannot resume {run.path}: {source.name} holds other images or labels than when the "
            f"run began; start a new run with --init {run.path}"
        )
