"""The run folder that a pretraining writes: whose it is, and what it may hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jessl import files
from jessl.config import Pretrain
from jessl.data import Source
from jessl.runs import Run, is_run

# fields that a resumed run may change: on one kind of device they do not change what is computed
_FREE = {
    "resume", "out", "workers", "device", "keep_checkpoints", "checkpoint_seconds",
}  # fmt: skip


def claim(config: Pretrain, tell: Callable[[str], None]) -> tuple[Run, Pretrain, bool]:
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
    # an option left out keeps the stored value: resuming must not prune what was asked to stay
    default = Pretrain(data=config.data)
    changed = {n: getattr(config, n) for n in _FREE if getattr(config, n) != getattr(default, n)}
    return run, dataclasses.replace(run.chosen(), **changed), False


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
def alone(run: Run) -> Iterator[None]:
    """Keep two writers out of one run folder; the lock goes with the process that holds it."""
    from filelock import FileLock, Timeout

    run.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process is writing {run.path}; wait for it or stop it") from None
    try:
        for folder in (run.path, run.checkpoints, run.path / "embeddings"):
            files.sweep(folder)
        yield
    finally:
        lock.release()


def same_data(run: Run, source: Source) -> None:
    """Refuse to resume on other images than the run began with."""
    then = run.facts().get("data_fingerprint")
    if then != source.fingerprint():
        raise ValueError(
            f"cannot resume {run.path}: {source.name} holds other images or labels than when the "
            f"run began; start a new run with --init {run.path}"
        )
