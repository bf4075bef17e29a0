"""The folder that a fine-tuning writes, and what it may be continued with.

finetune.json    the options, and at the end the result
labels/          fit.csv (fit-1.csv, fit-2.csv, ... of folds) and all.csv: labels of the parts
start/           classifiers that the trainings start from
trial/           the run that is compared with the frozen probe; trial-1/, trial-2/, ... of folds
compared.csv     what both predict about each image that was held out of their training
run/             the run on all labelled images, where the fine-tuned network is kept
classifier/      what `jessl classify --classifier` takes
cache/           features of the frozen encoder
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jessl.config import Finetune, option_name
from jessl.core.files import contained, locked, read_json, write_json
from jessl.core.leftovers import other_names
from jessl.core.validation import check_int

STATE, FORMAT = "finetune.json", "jessl.finetune"
LABELS, START, TRIAL, REFIT = "labels", "start", "trial", "run"
CLASSIFIER, CACHE, COMPARED = "classifier", "cache", "compared.csv"
# options that do not change what is computed; the runs check the images
_CHANGEABLE = {"out", "data", "workers", "device", "log", "log_project"}


@contextmanager
def finetune_folder(config: Finetune) -> Iterator[bool]:
    """The folder `out`, locked while the block lasts; whether the fine-tuning in it is finished.

    Nothing of a new fine-tuning is left where it fails before its first file.

    Raises:
        ValueError: for a folder with other things in it, or with other options.
    """
    out = Path(config.out)
    with locked(out, check=lambda: _check(out, config)):
        yield _state(out).get("result") is not None


def started_folds(out: Path) -> int | None:
    """How many folds a fine-tuning was begun with; None for a new one."""
    state = _state(out)
    # folders of versions without folds have none
    return check_int("folds", state.get("folds", 1), 1) if state else None


def begin(out: Path, config: Finetune, folds: int) -> None:
    """Write the options of a new fine-tuning, and how many folds it has."""
    if not (out / STATE).exists():
        values = {"format": FORMAT, "config": config.as_json(), "folds": folds, "result": None}
        write_json(out / STATE, values)


def write_result(out: Path, config: Finetune, result: dict[str, object]) -> None:
    """Write the result: the fine-tuning is finished."""
    values = {"format": FORMAT, "config": config.as_json(), "folds": started_folds(out)}
    write_json(out / STATE, values | {"result": result})


def read_result(out: Path) -> dict[str, Any]:
    """What `write_result` wrote."""
    result = _state(out).get("result")
    if not isinstance(result, dict):
        raise ValueError(f"{out}: the fine-tuning is not finished; the same command continues it")
    return result


def _state(out: Path) -> dict[str, Any]:
    if not (out / STATE).exists():
        return {}
    state = read_json(contained(out, STATE))
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{out / STATE}: no file of jessl finetune")
    return state


def _check(out: Path, config: Finetune) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: expected a new or an empty folder, got the file {out}")
    data = Path(config.data)
    if data.is_dir() and data.resolve() in (out.resolve(), *out.resolve().parents):
        raise ValueError(f"out: {out} lies in the folder of the images, {data}; give another one")
    state = _state(out)
    if not state:
        if other_names(out):
            raise ValueError(f"out: expected a new or an empty folder, got {out} with other things")
        return
    stored = state.get("config")
    if not isinstance(stored, dict):
        raise ValueError(f"{out / STATE}: no options of jessl finetune")
    now = config.as_json()
    for field in dataclasses.fields(Finetune):
        name = field.name
        if name not in _CHANGEABLE and stored.get(name, field.default) != now[name]:
            raise ValueError(
                f"out: {out} was begun with {option_name(name)} {stored.get(name)!r}, got "
                f"{now[name]!r}; give that, or another folder"
            )
