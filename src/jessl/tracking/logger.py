"""The base of all loggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from jessl.runs import Run
from jessl.tracking.points import MetricPoint
from jessl.tracking.state import TrackingState

# how a run ended; pruned: the study stopped it since it fell behind
Status = Literal["finished", "failed", "interrupted", "pruned"]
Value = bool | int | float | str
DEFAULT_PROJECT = "jessl"
# fields that belong to one call, not to the run
_OF_A_CALL = {"out", "resume", "log", "log_project"}


@dataclass(frozen=True)
class TrackedRun:
    """A run as its loggers see it.

    Attributes:
        run: its folder, with config.json.
        name: what the loggers call it.
        group: name of the study that it belongs to, None without one.
        project: as the user gave it; None: by the logger.
        state: what the run remembers of its loggers.
    """

    run: Run
    name: str
    group: str | None
    project: str | None
    state: TrackingState

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.run.path

    @cached_property
    def hyperparameters(self) -> dict[str, Value]:
        """The configuration with every value decided and facts of the data, without None."""
        values: dict[str, Value] = {}
        facts = {k: v for k, v in self.run.facts().items() if k != "tuning"}
        for source in (facts, self.run.resolved_config().as_json()):
            values |= _flat(source)
        return {k: v for k, v in values.items() if k not in _OF_A_CALL}


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str):
            flat[f"{prefix}{key}"] = value
        elif value is not None:
            flat[f"{prefix}{key}"] = str(value)
    return flat


class Logger(ABC):
    """Where the points of one run go. It may raise anything: nothing of it reaches the training.

    Opened again for a run, a logger gets all points of the run that it lacks.

    Args:
        tracked: the run.

    Attributes:
        module: that has to be importable; None: none beside jessl.
        extra: of jessl, which installs it.
        remembers: whether what was logged stays, so that only the points after it are sent again.
            A logger that does not remember is given all points, and writes them anew.
        key: under which the run keeps what the logger has.
    """

    module: ClassVar[str | None] = None
    extra: ClassVar[str | None] = None
    remembers: ClassVar[bool] = False
    key: str = ""

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the library is there; it is not imported."""
        if cls.module is None:
            return True
        try:
            spec = find_spec(cls.module)
        except (ImportError, ValueError):
            return False
        # wandb writes a folder wandb/, which Python takes for a package without files
        return spec is not None and spec.origin is not None

    @classmethod
    def check(cls) -> None:
        """Refuse, before anything is written, what cannot be logged.

        Raises:
            ValueError: in one line, with the command that installs what is missing.
        """
        if not cls.is_installed():
            raise ValueError(
                f"log: {cls.module} is not installed: pip install 'jessl[{cls.extra}]'"
            )

    @classmethod
    @abstractmethod
    def place(cls, path: Path) -> str:
        """Where a person finds the run of a folder: a file or a command."""

    @abstractmethod
    def __init__(self, tracked: TrackedRun) -> None: ...

    @abstractmethod
    def log(self, points: Sequence[MetricPoint]) -> None:
        """Take further points, in the order of the records."""

    @abstractmethod
    def close(self, status: Status) -> None:
        """Finish: no further points come from this call."""
