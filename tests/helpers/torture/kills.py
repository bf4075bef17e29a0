"""The kill harness: a command dies at a seeded moment, the same command goes on, and the results
must be those of an undisturbed run.

Moments are counted in file operations (write-opens, renames, removals, new folders, syncs) inside
the output, so that a trial repeats; some trials die after a time instead, in the middle of a write
or of computing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.processes import CONTEXT, preload
from jessl.data.sources.shard_checksums import VERIFIED

KILL, TERM, FULL, LARGE = "kill -9", "SIGTERM", "full disk", "largest file"
WAYS = (KILL, TERM, FULL, LARGE)
# a continuation that has not ended by then hangs
PATIENCE_SECONDS = 600.0
STRANGERS = (".holiday.jpg.part", ".letters.old/letter.txt", "notes.txt")
_SAVED = 75
_COMPLETE = "holds complete embeddings already"
_TIMED_SHARE = 0.4
_EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


@dataclass(frozen=True)
class Job:
    """A command that can be continued.

    Attributes:
        words: of the command; {} is the folder of the trial, which holds images.npz.
        again: the command that continues.
        result: from the folder to what must not depend on the disturbance.
        weight: share of the trials.
    """

    words: Sequence[str]
    again: Sequence[str]
    result: Callable[[Path], dict[str, object]]
    weight: int


@dataclass(frozen=True)
class Trial:
    """What came of one disturbance.

    Attributes:
        job, number: which trial; way: what happened to the command.
        moment: in file operations, seconds, or bytes.
        ended: exit code of the disturbed command, negative for a signal.
        fault: "" where nothing was lost.
    """

    job: str
    number: int
    way: str
    moment: str
    ended: int | None
    fault: str


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _tree(folder: Path) -> list[str]:
    """Files of a folder without locks, and without the names of checkpoints in between."""
    return sorted(
        name
        for p in folder.rglob("*")
        if p.is_file()
        and not (name := str(p.relative_to(folder))).endswith(".lock")
        and "checkpoints/" not in name
    )


def _run(folder: Path) -> dict[str, object]:
    from jessl import Run
    from jessl.training import checkpoint

    run = Run.open(folder)
    step, path = checkpoint.steps(run.checkpoints)[-1]
    records = [(r.split, r.name, r.step, r.value) for r in run.records()]
    timed = ("images_per_second",)
    return {
        "step": step,
        "weights": _sha(path / checkpoint.MODEL),
        "records": sorted(map(repr, (r for r in records if r[1] not in timed))),
        "timed records": sorted({repr(r[1:3]) for r in records if r[1] in timed}),
        "embeddings": {
            layer: {
                p.name: _sha(p)
                for p in sorted(run.embeddings(layer).iterdir())
                if p.suffix == ".npy"
            }
            for layer in ("backbone", "projector")
        },
        "unfinished": sorted(
            str(p.relative_to(folder))
            for p in folder.rglob("*")
            if p.name.endswith((".part", ".old"))
            and p.name not in STRANGERS
            and p.parts[-1] != ".letters.old"
        ),
        "tree": [name for name in _tree(folder) if not _is_strange(name)],
    }


def _is_strange(name: str) -> bool:
    return any(name.endswith(s) for s in STRANGERS)


def _study(folder: Path) -> dict[str, object]:
    runs = {p.name: _run(p) for p in sorted((folder / "runs").iterdir()) if p.is_dir()}
    study = json.loads((folder / "study.json").read_text())
    chosen = [group.get("chosen") for group in study.get("groups", [])]
    return {"runs": runs, "chosen": chosen, "tree": _outer(folder)}


def _outer(folder: Path) -> list[str]:
    return [n for n in _tree(folder) if not n.startswith("runs/") and not _is_strange(n)]


def _embeddings(folder: Path) -> dict[str, object]:
    return {name: _sha(folder / name) for name in _tree(folder) if name.endswith(".npy")} | {
        "tree": _tree(folder)
    }


def _shards(folder: Path) -> dict[str, object]:
    return {name: _sha(folder / name) for name in _tree(folder) if name.endswith(".tar")} | {
        # a note of when shards were compared, which not every reader writes
        "tree": [n for n in _tree(folder) if n != VERIFIED]
    }


_TINY = (
    *("--encoder", "smallconv:4", "--size", "8", "--epochs", "3", "--batch-size", "16"),
    *("--workers", "1", "--log-steps", "1", "--checkpoint-epochs", "1", "--device", "cpu"),
)
_PRETRAIN = ("pretrain", "--data", "{}/images.npz", "--out", "{}/out", *_TINY)
_SWEEP = ("sweep", "{}/study.toml", "--out", "{}/out")
_EMBED = ("embed", "{}/run", "--data", "{}/images.npz", "--out", "{}/out", "--layers")
_PACK = ("pack", "{}/images.npz", "{}/out", "--shard-mb", "0.01", "--workers", "2")
_DEMO = ("demo", "--data", "{}/images.npz", "--out", "{}/out", "--quick", "--epochs", "1")

JOBS: dict[str, Job] = {
    "pretrain": Job(_PRETRAIN, (*_PRETRAIN, "--resume"), _run, 8),
    "embed": Job(
        (*_EMBED, "backbone", "projector"), (*_EMBED, "backbone", "projector"), _embeddings, 6
    ),
    "pack": Job(_PACK, _PACK, _shards, 6),
    "sweep": Job(_SWEEP, _SWEEP, _study, 4),
    "sweep, 2 jobs": Job((*_SWEEP, "--jobs", "2"), (*_SWEEP, "--jobs", "2"), _study, 2),
    "demo": Job((*_DEMO, "--workers", "2"), (*_DEMO, "--workers", "2"), _study, 1),
}

_STUDY = """\
[base]
data = "{}/images.npz"
encoder = "smallconv:4"
size = 8
epochs = 2
batch_size = 16
workers = 1
log_steps = 1
device = "cpu"
[space]
lr = [0.001, 0.002]
[study]
seeds = [0]
"""


def plan(count: int, jobs: Sequence[str] = tuple(JOBS)) -> list[tuple[str, int]]:
    """`count` trials, (job, number), divided by the weights of the jobs."""
    turn = [name for name in jobs for _ in range(JOBS[name].weight)]
    random.Random(0).shuffle(turn)
    names = [turn[i % len(turn)] for i in range(count)]
    return [(name, names[:i].count(name)) for i, name in enumerate(names)]


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its result, file operations, seconds, and bytes of its largest file."""

    result: dict[str, object]
    operations: int
    seconds: float
    largest: int


def prepare(folder: Path) -> None:
    """Write the inputs of every job, of which one is a run, to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", x=x, y=np.arange(40) % 3)
    (folder / "study.toml").write_text(_STUDY.replace("{}", str(folder)))


def with_run(folder: Path) -> None:
    """Add to a prepared folder the run that `embed` reads."""
    words = [w.replace("{}/out", "{}/run") for w in _PRETRAIN]
    code, _ = execute(words, folder, folder / "run")
    if code != 0:
        raise RuntimeError(f"the run could not be made: {code}\n{_log(folder)}")


def reference(job: str, inputs: Path, work: Path) -> Reference:
    """Run a job undisturbed."""
    folder = work / f"reference-{job.replace(' ', '')}"
    _fresh(inputs, folder)
    since = time.monotonic()
    code, operations = execute(JOBS[job].words, folder, folder / "out")
    if code != 0:
        raise RuntimeError(f"{job} ended with {code} undisturbed\n{_log(folder)}")
    sizes = [p.stat().st_size for p in (folder / "out").rglob("*") if p.is_file()]
    seconds = time.monotonic() - since
    return Reference(JOBS[job].result(folder / "out"), operations, seconds, max(sizes))


def trial(
    job: str, number: int, inputs: Path, work: Path, undisturbed: Reference, seed: int
) -> Trial:
    """Disturb a job, continue it, compare."""
    rng = random.Random(f"{seed}/{job}/{number}")
    way = WAYS[number % len(WAYS)] if number < len(WAYS) else rng.choice(WAYS)
    folder = work / f"trial-{job.replace(' ', '').replace(',', '-')}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    _fresh(inputs, folder)
    at: int | float
    if way == LARGE:
        at = rng.randrange(1, undisturbed.largest)
        moment = f"{at} bytes"
    elif way != FULL and (rng.random() < _TIMED_SHARE or undisturbed.operations == 0):
        at = rng.uniform(0, undisturbed.seconds)
        moment = f"{at:.2f} s"
    else:
        at = rng.randrange(1, max(2, undisturbed.operations))
        moment = f"operation {at}"
    code, _ = execute(JOBS[job].words, folder, folder / "out", way, at)
    fault = _wrong_end(way, code, folder)
    if not fault:
        # what a user keeps in the same folders must be there afterwards
        out = folder / "out"
        # before it is a run or a study, a folder with other things is refused
        is_ours = any((out / name).is_file() for name in ("config.json", "sweep.json"))
        for place in (folder, out) if is_ours else (folder,):
            for name in STRANGERS:
                (place / name).parent.mkdir(exist_ok=True)
                (place / name).write_text("not of jessl")
        kept = [p for n in STRANGERS for p in (folder / n, folder / "out" / n) if p.exists()]
        fault = _continued(job, folder, undisturbed)
        lost = [p for p in kept if not p.is_file() or p.read_text() != "not of jessl"]
        if lost:
            fault = f"not of jessl and gone: {lost[0].relative_to(folder)}; {fault}"
    if not fault:
        shutil.rmtree(folder)
    return Trial(job, number, way, moment, code, fault)


def _wrong_end(way: str, code: int | None, folder: Path) -> str:
    allowed: dict[str, tuple[int | None, ...]] = {
        KILL: (-signal.SIGKILL, 0),
        # before the command listens to it, it ends a process as it ends any other
        TERM: (_SAVED, 0, -signal.SIGTERM),
        FULL: (2, 0),
        LARGE: (2, 0),
    }
    log = _log(folder)
    if code not in allowed[way]:
        return f"{way}: exit code {code}: {log[-400:]}"
    if "Traceback" in log:
        return f"{way}: traceback: {log[-400:]}"
    return ""


def _continued(job: str, folder: Path, undisturbed: Reference) -> str:
    code, _ = execute(JOBS[job].again, folder, folder / "out")
    if code == 2 and job == "pretrain" and not (folder / "out" / "config.json").exists():
        code, _ = execute(JOBS[job].words, folder, folder / "out")  # it had not begun
    # the disturbance came after the result: that is said, and the result is compared
    if code != 0 and not (code == 2 and _COMPLETE in _log(folder)):
        return f"the continuation ended with {code}: {_log(folder)[-400:]}"
    try:
        result = JOBS[job].result(folder / "out")
    except Exception as error:  # a result that cannot be read is lost, for whatever reason
        return f"the result cannot be read: {error!r}"
    return difference(undisturbed.result, result)


def difference(want: object, got: object, where: str = "") -> str:
    """The first place where two results differ; "" for none."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in sorted(want.keys() | got.keys()):
            line = difference(want.get(key), got.get(key), f"{where}/{key}")
            if line:
                return line
        return ""
    if isinstance(want, list) and isinstance(got, list):
        if want == got:
            return ""
        less = [w for w in want if w not in got]
        more = [g for g in got if g not in want]
        return f"{where}: missing {less[:3]}, added {more[:3]}, {len(want)} and {len(got)} entries"
    return "" if want == got else f"{where}: {want} and {got}"


def _fresh(inputs: Path, folder: Path) -> None:
    shutil.copytree(inputs, folder)
    (folder / "study.toml").write_text(_STUDY.replace("{}", str(folder)))


def _log(folder: Path) -> str:
    path = folder.parent / f"{folder.name}.log"
    return " ".join(path.read_text(errors="replace").split()) if path.exists() else ""


def execute(
    words: Sequence[str], folder: Path, out: Path, way: str | None = None, at: float = 0
) -> tuple[int | None, int]:
    """(exit code of a command in a process of its own, file operations inside `out`)."""
    preload()
    counter = CONTEXT.Value("q", 0)
    log = folder.parent / f"{folder.name}.log"
    words = [word.replace("{}", str(folder)) for word in words]
    process = CONTEXT.Process(target=_command, args=(words, str(out), str(log), way, at, counter))
    process.start()
    assert process.pid is not None
    if way in (KILL, TERM) and isinstance(at, float):
        process.join(at)
        number = signal.SIGKILL if way == KILL else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    process.join(PATIENCE_SECONDS)
    code = process.exitcode
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its workers, which lost their parent
    process.join()
    return code, counter.value


def _command(
    words: Sequence[str], out: str, log: str, way: str | None, at: float, counter: object
) -> None:
    os.setsid()
    os.nice(5)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    if way == LARGE:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(at), int(at)))
    _Disturbance(out, way, at, counter).listen()
    from jessl.cli.main import main

    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


class _Disturbance:
    """Counts the file operations inside a folder, and strikes at one of them."""

    def __init__(self, out: str, way: str | None, at: float, counter: object) -> None:
        self.out = out
        self.way = way
        self.at = at if isinstance(at, int) and way not in (LARGE, None) else None
        self.counter = counter
        self.pid = os.getpid()

    def listen(self) -> None:
        """Count from now on."""
        sys.addaudithook(self._heard)
        sync = os.fsync

        def counted(descriptor: int) -> None:
            self._count("")
            sync(descriptor)

        os.fsync = counted

    def _heard(self, event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, _mode, flags = args
            is_write = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not is_write:
                return
        elif event in _EVENTS:
            path = args[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and self._is_output(str(path)):
            self._count(str(path), makes=event in ("open", "os.mkdir"))

    def _is_output(self, path: str) -> bool:
        # a folder that takes its place as a whole is written beside it
        return path.startswith((self.out, f"{os.path.dirname(self.out)}/.jessl-"))

    def _count(self, path: str, makes: bool = False) -> None:
        if os.getpid() != self.pid:
            return  # a worker: it dies with the group
        self.counter.value += 1  # type: ignore[attr-defined]
        if self.at is None or self.counter.value < self.at:  # type: ignore[attr-defined]
            return
        if self.way == FULL:
            # removals and renames need no room
            if makes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            return
        if self.counter.value == self.at:  # type: ignore[attr-defined]
            if self.way == KILL:
                os.killpg(0, signal.SIGKILL)
            elif self.way == TERM:
                os.kill(os.getpid(), signal.SIGTERM)
