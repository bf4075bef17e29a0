"""The command `jessl doctor`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tyro

from jessl import records
from jessl.cli._command import Command, JsonObject
from jessl.core.leftovers import LOCK, is_abandoned, is_leftover, leftovers, remove_leftovers

# a folder with one of these files is of jessl, and so is its lock
_MARKS = ("config.json", "sweep.json", "study.json", "comparison.json", "manifest.json")


@dataclass(frozen=True, kw_only=True)
class DoctorCommand(Command):
    """Describe this machine, and check a folder and those below it: checkpoints, embeddings and
    records against their checksums, hidden files that killed commands left, and locks.

    At the end come up to three changes that would help most.

    Nothing is deleted without --clean; links are not followed.

    Attributes:
        folder: a run, a study, embeddings, or a folder of these.
        clean: remove what killed commands left (.jessl-*.part and .jessl-*.old that no process
            holds; what was set aside comes back where its successor is missing) and locks that no
            process holds. Damaged checkpoints and embeddings stay.
        data: SRC, images: measure also how fast they load beside a training step of the default
            encoder, which takes about a quarter of a minute (jessl bench loader has more options).
    """

    folder: tyro.conf.Positional[str] = "."
    clean: bool = False
    data: str | None = None

    def run(self) -> JsonObject:
        """Look at every folder, and clean up where that is asked for."""
        from jessl.cli._machine import advise, describe_machine, measure_loading
        from jessl.core.log import log

        root = Path(self.folder)
        if not root.is_dir():
            raise ValueError(f"folder: expected an existing folder, got {root}")
        unfinished: list[JsonObject] = []
        locks: list[JsonObject] = []
        damaged: list[JsonObject] = []
        removed: list[str] = []
        restored: list[str] = []
        counts = {"checkpoints": 0, "embeddings": 0, "records": 0}
        for folder in _folders(root):
            unfinished += [
                {"path": str(p), "bytes": _bytes_of(p), "in_use": not is_abandoned(p)}
                for p in leftovers(folder)
            ]
            if self.clean:
                before = set(os.listdir(folder))
                removed += [str(p) for p in remove_leftovers(folder)]
                restored += [str(folder / n) for n in sorted(set(os.listdir(folder)) - before)]
            lock = folder / LOCK
            if _is_lock(folder):
                in_use = not _take_lock(lock, remove=self.clean)
                locks.append({"path": str(lock), "in_use": in_use})
                removed += [str(lock)] if self.clean and not in_use else []
            for kind, reason in _checks(folder):
                counts[kind] += 1
                if reason is not None:
                    log.warning(reason)
                    damaged.append({"path": str(folder), "kind": kind, "reason": reason})
        checks: JsonObject = {
            "folder": self.folder,
            "sound": not damaged,
            "checked": counts,
            "damaged": damaged,
            "unfinished": unfinished,
            "locks": locks,
            "removed": removed,
            "restored": restored,
        }
        machine = describe_machine(root)
        loading = None if self.data is None else measure_loading(self.data)
        advice = advise(machine, loading, checks)
        return {**checks, "machine": machine, "loading": loading, "advice": advice}

    def show(self, result: JsonObject) -> None:
        """Counts, then one line for each thing that needs attention."""
        from jessl.cli._machine import loading_lines, machine_lines
        from jessl.core.validation import escape_control

        for line in machine_lines(result["machine"]):
            print(line)
        for line in loading_lines(result["loading"]) if result["loading"] else []:
            print(line)
        removed = set(result["removed"])
        for kind, n in result["checked"].items():
            bad = sum(item["kind"] == kind for item in result["damaged"])
            print(f"{kind:<12} {n} checked, {bad} damaged")
        for item in result["damaged"]:
            print(f"damaged      {escape_control(item['path'])}")
        for item in result["unfinished"]:
            state = "in use" if item["in_use"] else "left by a killed command"
            state = "removed" if item["path"] in removed else state
            size = item["bytes"] / 1e6
            print(f"unfinished   {escape_control(item['path'])}: {size:.1f} MB, {state}")
        for path in result["restored"]:
            print(f"brought back {escape_control(path)}")
        for item in result["locks"]:
            state = "in use" if item["in_use"] else "held by no process, harmless"
            state = "removed" if item["path"] in removed else state
            print(f"lock         {escape_control(item['path'])}: {state}")
        rest = [i for i in (*result["unfinished"], *result["locks"]) if not i["in_use"]]
        if any(item["path"] not in removed for item in rest):
            print(f"jessl doctor {escape_control(result['folder'])} --clean removes what is unused")
        for k, line in enumerate(result["advice"], 1):
            print(f"{'advice' if k == 1 else '':<12} {k}. {escape_control(line)}")
        if not result["advice"]:
            print("advice       nothing to change")


def _folders(root: Path) -> Iterator[Path]:
    """The folder and all below it, without links and what is unfinished."""
    for place, names, _files in os.walk(root):
        names[:] = sorted(n for n in names if not is_leftover(n))
        yield Path(place)


def _is_lock(folder: Path) -> bool:
    """Whether a folder has a lock of jessl: a file in a folder that is known to be ours."""
    lock = folder / LOCK
    if lock.is_symlink() or not lock.is_file():
        return False
    if any((folder / name).is_file() for name in _MARKS):
        return True
    return all(name == LOCK for name in os.listdir(folder))


def _take_lock(lock: Path, *, remove: bool) -> bool:
    """Whether no process holds a lock; removed in that case, where that is asked for."""
    from filelock import Timeout

    from jessl.core.files import file_lock

    try:
        with file_lock(lock).acquire(timeout=0):
            if remove:
                lock.unlink(missing_ok=True)
    except (Timeout, OSError):
        return False
    return True


def _checks(folder: Path) -> Iterator[tuple[str, str | None]]:
    """(checkpoints, embeddings or records; what is wrong with it, or None) for what is there."""
    if _is_checkpoint(folder):
        from jessl.training import checkpoint

        yield "checkpoints", _reason(checkpoint.load, folder)
    if (folder / "features.npy").is_file() and (folder / "meta.json").exists():
        from jessl.embeddings import Embeddings

        yield "embeddings", _reason(Embeddings.load, folder)
    if (folder / records.FILE).is_file() and not (folder / records.FILE).is_symlink():
        yield "records", _reason(_check_records, folder)


def _reason(check: Callable[[Path], object], folder: Path) -> str | None:
    try:
        check(folder)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _check_records(folder: Path) -> None:
    _, damaged = records.read_lines(folder)
    if damaged:
        raise ValueError(
            f"{folder / records.FILE}: {len(damaged)} lines are incomplete or changed since they "
            f"were written; the first is line {damaged[0]}"
        )


def _is_checkpoint(folder: Path) -> bool:
    name = folder.name.removeprefix("step-")
    is_step = len(name) == 9 and name.isdecimal() and folder.name != name
    return is_step and folder.parent.name == "checkpoints"


def _bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links count nothing."""
    total = 0
    with suppress(OSError):
        if path.is_symlink():
            return 0
        if path.is_file():
            return path.stat().st_size
        for place, _names, files in os.walk(path):
            total += sum(os.lstat(os.path.join(place, name)).st_size for name in files)
    return total
