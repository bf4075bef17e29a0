"""The configuration of a study in its folder and its storage, so that only it is continued."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import optuna

from jessl.config import Pretrain, Sweep
from jessl.core.files import contained, read_json, write_json
from jessl.core.leftovers import other_names
from jessl.runs import Run, is_run
from jessl.sweeps.plan import sweep_from
from jessl.sweeps.storage import BEGUN, DEFAULT, Storage, is_begun, is_inside

FILE = "sweep.json"
_STORAGE = "storage"
_PLAN, _DATA = "plan", "data"
_HIDDEN = "***"
# beside runs/: folders that could not be read
_DAMAGED = "damaged"
# of a base: where things lie, and how they are computed
_FREE = frozenset({"data", "labels", "device", "workers", "out", "resume", "tune", "compile"})
_FREE |= {"log", "log_project"}
# of the fields that a study of an earlier release does not have
_DEFAULTS = {field.name: field.default for field in fields(Pretrain)}


@dataclass(frozen=True)
class SweepManifest:
    """What sweep.json holds.

    Attributes:
        plan: the configuration of the study.
        storage: its storage, as it is shown; None: in the folder.
    """

    plan: dict[str, Any]
    storage: str | None

    def sweep(self, folder: Path) -> Sweep:
        """The study as a value.

        Raises:
            ValueError: for a file that is no study of jessl.
        """
        try:
            fields = {k: v for k, v in self.plan.items() if k not in ("base", "space")}
            base = Pretrain.from_json(self.plan["base"], str(folder / FILE))
            return sweep_from(fields, base, self.plan["space"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / FILE} is no study of jessl: {error!r}") from None


def read(folder: Path) -> SweepManifest | None:
    """The manifest of a folder; None for a new or empty one.

    Raises:
        ValueError: for a file, and a folder that holds something else.
    """
    if folder.is_file():
        raise ValueError(f"out {folder} is a file; give the folder of a study, or a new one")
    if (folder / FILE).is_file():
        stored = read_json(contained(folder, FILE))
        if not isinstance(stored, dict):
            raise ValueError(f"{folder / FILE} holds no JSON object: not a study of jessl")
        plan = {k: v for k, v in stored.items() if k != _STORAGE}
        storage = stored.get(_STORAGE)
        if not isinstance(storage, str | None):
            raise ValueError(f"{folder / FILE}: storage: expected a text or null, got {storage!r}")
        return SweepManifest(plan, storage)
    # a command that was killed at its beginning leaves the storage alone
    names = other_names(folder)
    if names and not (names <= BEGUN and is_begun(folder)):
        raise ValueError(f"out {folder} is not empty and holds no study; give a new folder")
    return None


def stored_sweep(folder: str | Path) -> Sweep:
    """The configuration of the study that a folder holds.

    Raises:
        ValueError: for a folder that holds none.
    """
    stored = read(Path(folder))
    if stored is None:
        raise ValueError(f"{folder} holds no study: it has no {FILE}")
    return stored.sweep(Path(folder))


def address(folder: Path, stored: SweepManifest | None, url: str | None) -> str | None:
    """The storage to open: `url`, or else the one that the folder names, if it lies in the folder.

    Raises:
        ValueError: where the folder's has a password, which is not stored, or lies elsewhere: a
            folder that someone else made must not choose what is written.
    """
    if url is not None or stored is None or stored.storage is None:
        return url
    if _HIDDEN in stored.storage:
        raise ValueError(
            f"storage: the study is in {stored.storage}; give --storage with its password"
        )
    if not is_inside(stored.storage, folder):
        raise ValueError(
            f"storage: the study in {folder} names {stored.storage}, which is not in its folder; "
            f"add --storage {stored.storage} to use it"
        )
    return stored.storage


def write(
    folder: Path, stored: SweepManifest | None, plan: dict[str, Any], storage: str | None
) -> None:
    """Write the manifest of a study where it is new or has grown.

    Args:
        storage: as it is shown; None: in the folder.

    Raises:
        ValueError: where the study is in another storage: two would both begin it.
    """
    if stored is not None and stored.storage != storage:
        names = [name or f"{folder / DEFAULT}" for name in (stored.storage, storage)]
        raise ValueError(f"storage: the study in {folder} is in {names[0]}, not in {names[1]}")
    if stored is None or stored.plan != plan:
        write_json(folder / FILE, {**plan, _STORAGE: storage})


def agree(opened: Storage, study: optuna.Study, plan: dict[str, Any], images: str) -> None:
    """Write plan and images to the storage; refuse others than it has.

    Args:
        study: Optuna's.
        images: their fingerprint.

    Raises:
        ValueError: where the storage holds another study of this name.
    """
    with opened.guard():
        stored, then = study.user_attrs.get(_PLAN), study.user_attrs.get(_DATA, images)
        if stored is not None:
            check_same(stored, plan, f"of the name {study.study_name!r} in storage {opened.shown}")
        if then != images:
            raise ValueError(
                "data: these are other images than the study was begun with; runs on other images "
                "cannot be compared"
            )
        if stored != plan:
            study.set_user_attr(_PLAN, plan)
        study.set_user_attr(_DATA, images)


def check_same(stored: dict[str, Any], now: dict[str, Any], where: str) -> None:
    """Refuse to continue with another study than was begun; it may have grown.

    Raises:
        ValueError: naming the first field that differs.
    """
    for name in sorted(now.keys() | stored.keys()):
        then, wanted = stored.get(name), now.get(name)
        if then == wanted or name in ("test", "decompose", "class_names"):
            continue
        if name == "seeds" and set(then or ()) <= set(wanted or ()):
            continue
        if name == "trials" and wanted is not None and wanted >= (then or 0):
            continue
        if name in ("seeds", "trials"):
            raise ValueError(
                f"the study {where} has {name} {then!r}: it can grow, and not shrink to {wanted!r}"
            )
        if isinstance(then, Mapping) and isinstance(wanted, Mapping):
            defaults = _DEFAULTS if name == "base" else {}
            then, wanted = ({**defaults, **values} for values in (then, wanted))
            unlike = sorted(k for k in then.keys() | wanted.keys() if then.get(k) != wanted.get(k))
            unlike = [k for k in unlike if name != "base" or k not in _FREE]
            if not unlike:
                continue
            name, then, wanted = f"{name}.{unlike[0]}", then.get(unlike[0]), wanted.get(unlike[0])
        raise ValueError(
            f"the study {where} was begun with another {name}: {then!r}, now {wanted!r}; give a "
            "folder of another name, or continue with its own"
        )


def set_aside(folder: Path, path: Path) -> str | None:
    """Move a run that cannot be read out of the way: a fault of a disk is none of its setting.

    Args:
        folder: of the study; path: of the run.

    Returns:
        A line about it; None for a run that is whole, or does not exist.
    """
    if not is_run(path):
        return None
    try:
        Run(path).resolved_config()
    except ValueError as error:
        place = contained(folder, _DAMAGED) / f"{path.name}-{time.time_ns()}"
        place.parent.mkdir(exist_ok=True)
        path.replace(place)
        return f"{' '.join(str(error).split())}; moved to {place}"
    return None
