"""How far trainings are, from the files that they write; from another process or machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from jessl import records
from jessl.core.files import contained, read_json
from jessl.report.formatting import finite
from jessl.report.json_values import Json, mapping, number
from jessl.runs import is_run
from jessl.schema import VIEW_RETRIEVAL

Status = Literal["finished", "running", "silent", "waiting"]
_RUNS = "runs"
# a training that has written nothing for so long may have ended
_SILENT_SECONDS = 120.0
_RANKME = "rankme/projector"


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """How far a training is.

    Attributes:
        name: of the run.
        status: finished; running; silent, when nothing was written for two minutes; waiting, when
            nothing was written yet.
        epoch: that it has reached; epochs: of the whole training, None where unknown.
        loss: the latest one; view_retrieval: at the backbone; rankme: at the projector.
        images_per_second: the latest speed.
        seconds_left: until the last step, by the mean speed so far; None where unknown.
        seconds_silent: since the last record was written.
    """

    name: str
    status: Status
    epoch: float | None = None
    epochs: float | None = None
    loss: float | None = None
    view_retrieval: float | None = None
    rankme: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    seconds_silent: float | None = None

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        return asdict(self)


class Watcher:
    """Reads the progress of a run, or of the runs of a study, again and again.

    Files that have not changed are not read again.

    Args:
        folder: a run, a study whose runs lie in `runs`, or a folder of runs.

    Raises:
        ValueError: for anything else.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._known: dict[Path, tuple[tuple[int, int], list[records.Record]]] = {}
        is_study = (self._folder / _RUNS).is_dir()
        if not is_run(self._folder) and not is_study and not self._runs():
            what = "has no config.json and no runs" if self._folder.is_dir() else "is no folder"
            raise ValueError(f"folder: expected a run or a study, {self._folder} {what}")

    def look(self) -> list[RunProgress]:
        """The progress of every run, in the order of their names."""
        if is_run(self._folder):
            return [self._progress(self._folder)]
        return [self._progress(path) for path in self._runs()]

    def _runs(self) -> list[Path]:
        """The runs inside the folder, in the order of their names."""
        if not self._folder.is_dir():
            return []
        is_study = (self._folder / _RUNS).is_dir()
        inside = contained(self._folder, _RUNS) if is_study else self._folder
        return [path for path in sorted(inside.iterdir()) if not path.is_symlink() and is_run(path)]

    def _progress(self, run: Path) -> RunProgress:
        file = run / records.FILE
        chosen = mapping(_object(run / "config.json").get("chosen"))
        epochs = number(mapping(chosen.get("config")), "epochs")
        name = run.resolve().name
        try:
            stat = file.stat()
        except OSError:
            return RunProgress(name=name, status="waiting", epochs=epochs)
        seen = (stat.st_mtime_ns, stat.st_size)
        if self._known.get(run, ((0, 0), []))[0] != seen:
            self._known[run] = (seen, records.read(run))
        return _of_records(
            name, self._known[run][1], epochs, chosen, max(0.0, time.time() - stat.st_mtime)
        )


def _of_records(
    name: str,
    written: list[records.Record],
    epochs: float | None,
    chosen: Json,
    silent: float,
) -> RunProgress:
    latest: dict[str, float] = {}
    epoch = step = seconds = None
    is_finished = False
    for record in written:
        value = finite(record.value)
        if value is not None:
            latest[record.name] = value
        if record.step is not None:
            epoch, step, seconds = record.epoch, record.step, record.seconds
        is_finished |= record.split == "pretrain" and record.name == "rankme/backbone"
    status: Status = "running"
    if is_finished:
        status = "finished"
    elif silent > _SILENT_SECONDS:
        status = "silent"
    return RunProgress(
        name=name,
        status=status,
        epoch=epoch,
        epochs=epochs,
        loss=latest.get("loss"),
        view_retrieval=latest.get(VIEW_RETRIEVAL),
        rankme=latest.get(_RANKME),
        images_per_second=latest.get("images_per_second"),
        seconds_left=None if is_finished else _left(step, seconds, number(chosen, "total_steps")),
        seconds_silent=silent,
    )


def _left(step: int | None, seconds: float | None, steps: float | None) -> float | None:
    """Seconds until the last step at the mean speed so far."""
    if not step or not seconds or steps is None:
        return None
    return max(0.0, steps - step) * seconds / step


def _object(path: Path) -> Mapping[str, object]:
    """A JSON object; empty while it is being written."""
    try:
        return mapping(read_json(path))
    except (OSError, ValueError):
        return {}
