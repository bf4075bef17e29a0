"""Tracking: which loggers follow the runs of a command, and what is said of those that fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from jessl.core.interruption import Stopped
from jessl.core.log import Log
from jessl.runs import Run
from jessl.tracking.follower import Follower
from jessl.tracking.logger import Status, TrackedRun
from jessl.tracking.registry import choose_loggers
from jessl.tracking.state import TrackingState

# how long the end of a run waits for its loggers; a scheduler that stops a job waits less
_END_SECONDS, _STOP_SECONDS = 60.0, 10.0


class Tracking:
    """The loggers of the runs of one command. A failure of one is reported once, and at the end.

    Example:
        tracking = Tracking(("csv",), log=log)
        with tracking.tracker() as tracker:
            tracker.start(run)
            ...  # records.append(run.path, ...)

    Args:
        names: of the loggers; None: TensorBoard where it is installed.
        project: of wandb, experiment of MLflow; None: by their variables, else "jessl".
        group: name of the study that the runs belong to.
        log: gets the warnings.
    """

    def __init__(
        self,
        names: Sequence[str] | None,
        *,
        project: str | None = None,
        group: str | None = None,
        log: Log,
    ) -> None:
        self.loggers = choose_loggers(names)
        self.project = project
        self.group = group
        self._log = log
        self._lock = threading.Lock()
        self._failed: set[str] = set()
        self._incomplete: Counter[str] = Counter()

    def tracker(self, name: str | None = None) -> RunTracker:
        """What follows one run.

        Args:
            name: of the run in the loggers; None: that of its folder.
        """
        return RunTracker(self, name)

    def report_failure(self, name: str, reason: str) -> None:
        """A logger failed: a warning the first time."""
        with self._lock:
            is_first = name not in self._failed
            self._failed.add(name)
        if is_first:
            self._log.warning(
                f"log: {name} failed and is tried again later; the training goes on ({reason})"
            )

    def add_incomplete(self, name: str) -> None:
        """A run ended, and a logger lacks some of its records."""
        self._incomplete[name] += 1

    def report_incomplete(self) -> None:
        """A warning for each logger that lacks records of runs that ended since the last call."""
        for name, count in self._incomplete.items():
            runs = "" if count == 1 else f" of {count} runs"
            self._log.warning(
                f"log: {name} lacks records{runs}; records.jsonl has all of them, and --resume "
                "logs what is missing"
            )
        self._incomplete.clear()


class RunTracker:
    """Follows one run with all loggers, from `start` to `close`.

    As a context manager it closes with the status of the block: finished, interrupted (Stopped,
    Ctrl-C) or failed, and reports what is missing.
    """

    def __init__(self, tracking: Tracking, name: str | None) -> None:
        self._tracking = tracking
        self._name = name
        self._followers: list[Follower] = []

    def start(self, run: Run) -> list[str]:
        """Begin to follow a run, whose config.json is written; records may be there already.

        Returns:
            Where a person finds what is logged: files and commands.
        """
        if self._followers or not self._tracking.loggers:
            return []
        tracking = self._tracking
        tracked = TrackedRun(
            run=run,
            name=self._name or run.name,
            group=tracking.group,
            project=tracking.project,
            state=TrackingState(run.path),
        )
        self._followers = [
            Follower(name, logger, tracked, tracking.report_failure)
            for name, logger in tracking.loggers.items()
        ]
        for follower in self._followers:
            follower.start()
        return [logger.place(run.path) for logger in tracking.loggers.values()]

    def close(self, status: Status) -> None:
        """Wait until all is logged, a minute at most; nothing before `start`."""
        followers, self._followers = self._followers, []
        for follower in followers:
            follower.close(status)
        seconds = _STOP_SECONDS if status == "interrupted" else _END_SECONDS
        for follower in followers:
            if not follower.join(seconds) or not follower.is_complete:
                self._tracking.add_incomplete(follower.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status: Status = "finished"
        if error is not None:
            is_stop = isinstance(error, Stopped) or not isinstance(error, Exception)
            status = "interrupted" if is_stop else "failed"
        self.close(status)
        self._tracking.report_incomplete()
