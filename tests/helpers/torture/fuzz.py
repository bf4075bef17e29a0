"""The fuzz harness: damaged files in forked processes under limits of memory and time.

A case is a target and a number; with the seed they decide the damaged bytes, always the same. It
passes when the reader succeeds or raises a ValueError or OSError with a one-line text, within the
limits, and changes no file but those that it may write.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import resource
import shutil
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from helpers.processes import CONTEXT, preload
from helpers.torture import samples
from helpers.torture.targets import FILES, IMAGES, TARGETS, Target

MEMORY_BYTES = 2 << 30
CPU_SECONDS = 10.0
SILENT_SECONDS = 120.0
READ, REFUSED, FAULT = "read", "refused", "fault"
VERIFIED = ".verified.json"  # which reading a shard whose time changed may write
# names that jessl must never take for its own
STRANGERS = (".holiday.jpg.part", ".letters.old/letter.txt", "notes.txt", "checkpoints.bak/a.pt")


@dataclass(frozen=True)
class Case:
    """What came of one damaged file.

    Attributes:
        target: name in TARGETS; number: of the case.
        outcome: read, refused or fault.
        detail: the error in one line; of a fault with the place that raised it.
    """

    target: str
    number: int
    outcome: str
    detail: str = ""


def build(work: Path, names: Sequence[str]) -> None:
    """Write the sound files of the targets to `work`/sound, in a process of their own."""
    builders = {TARGETS[name].builder for name in names} & samples.BUILDERS.keys()
    missing = [b for b in sorted(builders) if not (work / "sound" / b / ".whole").exists()]
    if not missing:
        return
    preload()
    process = CONTEXT.Process(target=_build, args=(str(work), missing))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"sound files could not be built: exit code {process.exitcode}")


def _build(work: str, names: Sequence[str]) -> None:
    import torch

    torch.set_num_threads(1)
    os.nice(5)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name in names:
            folder = Path(work) / "sound" / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            samples.BUILDERS[name](folder)
            (folder / ".whole").touch()


def run(work: Path, cases: Sequence[tuple[str, int]], seed: int = 0) -> Iterator[Case]:
    """Run cases one after the other in a child; a new child after each death.

    Args:
        work: scratch folder, in which `build` has been called for the targets.
        cases: (name of a target, number).
        seed: of all damage.
    """
    preload()
    left = list(cases)
    while left:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_child, args=(theirs, str(work), left, seed))
        process.start()
        theirs.close()
        done = 0
        reason = ""
        try:
            while done < len(left):
                if not ours.poll(SILENT_SECONDS):
                    reason = f"no end within {SILENT_SECONDS:.0f} s"
                    break
                yield Case(**ours.recv())
                done += 1
        except EOFError:
            process.join()
            reason = _death(process.exitcode)
        finally:
            process.kill()
            process.join()
            ours.close()
        if done < len(left):
            yield Case(*left[done], FAULT, reason)
            done += 1
        left = left[done:]


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"more than {CPU_SECONDS:.0f} s of CPU" if name == "SIGPROF" else f"died of {name}"
    return f"exit code {code}"


def _child(results: Connection, work: str, cases: Sequence[tuple[str, int]], seed: int) -> None:
    import torch

    torch.set_num_threads(1)
    os.nice(5)
    warnings.simplefilter("ignore")
    place = Path(work) / f"child-{os.getpid()}"
    place.mkdir()
    try:
        _limit_memory()
        for name, number in cases:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            case = one(Path(work), place, name, number, seed)
            signal.setitimer(signal.ITIMER_PROF, 0)
            results.send(asdict(case))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def damaged(work: Path, name: str, number: int, seed: int) -> bytes:
    """The damaged file of a case."""
    target = TARGETS[name]
    rng = random.Random(f"{seed}/{name}/{number}")
    if name in IMAGES:
        return target.mutate(rng.choice(samples.images(target.builder)), rng)
    return target.mutate((work / "sound" / target.builder / target.file).read_bytes(), rng)


def one(work: Path, place: Path, name: str, number: int, seed: int) -> Case:
    """One case in this process, in the folder `place`, which has room for more of them."""
    target = TARGETS[name]
    folder = place / target.builder
    if not folder.exists():
        if name in IMAGES:
            folder.mkdir()
        else:
            shutil.copytree(work / "sound" / target.builder, folder)
        for stranger in STRANGERS:
            (place / stranger).parent.mkdir(exist_ok=True)
            (place / stranger).write_text("not of jessl")
    path = folder / target.file
    sound = None if name in IMAGES else path.read_bytes()
    path.write_bytes(damaged(work, name, number, seed))
    before = _snapshot(folder)
    outcome, detail = _outcome(target, folder)
    if outcome != FAULT:
        spoilt = _spoilt(place, folder, before, target)
        if spoilt:
            outcome, detail = FAULT, spoilt
    if target.writes or outcome == FAULT:
        shutil.rmtree(folder)
    elif sound is not None:
        path.write_bytes(sound)
    return Case(name, number, outcome, detail)


def _outcome(target: Target, folder: Path) -> tuple[str, str]:
    try:
        target.use(folder)
    except (ValueError, OSError) as error:
        if not str(error).strip():
            return FAULT, f"{type(error).__name__} without a text, {_where(error)}"
        if type(error).__module__ not in ("builtins", "jessl.data.decode.image") and not (
            type(error).__module__.startswith("jessl.")
        ):
            return (
                FAULT,
                f"{type(error).__module__}.{type(error).__name__}: {_line(error)}, {_where(error)}",
            )
        return REFUSED, _line(error)
    except BaseException as error:  # whatever else it is, it is the fault that is looked for
        return FAULT, f"{type(error).__name__}: {_line(error)}, {_where(error)}"
    return READ, ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _where(error: BaseException) -> str:
    """The innermost line of jessl that an error passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/jessl/" in f.filename]
    if not frames:
        return "outside jessl"
    last = frames[-1]
    return f"at {last.filename.rpartition('/jessl/')[2]}:{last.lineno} in {last.name}"


def _snapshot(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.blake2b(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.is_symlink() and p.name != VERIFIED
    }


def _spoilt(place: Path, folder: Path, before: dict[str, str], target: Target) -> str:
    """Which file was changed that must not be; "" for none."""
    for stranger in STRANGERS:
        path = place / stranger
        if not path.is_file() or path.read_text() != "not of jessl":
            return f"touched {stranger} beside the folder"
    after = _snapshot(folder)
    if target.writes:
        gone = before.keys() - after.keys()
        return f"removed {sorted(gone)[0]}" if gone else ""
    changed = [k for k in before.keys() | after.keys() if before.get(k) != after.get(k)]
    return f"changed {sorted(changed)[0]}" if changed else ""


def plan(images: int, files: int) -> list[tuple[str, int]]:
    """Cases in turn over the formats of images, and over the kinds of files."""
    kinds, names = list(IMAGES), list(FILES)
    return [(kinds[i % len(kinds)], i // len(kinds)) for i in range(images)] + [
        (names[i % len(names)], i // len(names)) for i in range(files)
    ]


def counted(cases: Sequence[Case]) -> dict[str, Counter[str]]:
    """Outcomes by target."""
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        counts.setdefault(case.target, Counter())[case.outcome] += 1
    return counts


def kind_of(case: Case) -> str:
    """A fault without its numbers, to group faults of one cause: the place that raised it."""
    return f"{case.target}: {case.detail.split(': ')[0]}, {case.detail.rpartition(', ')[2]}"
