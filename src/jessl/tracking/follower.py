"""A thread that reads the records of a run as they are written, and gives them to one logger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from textwrap import shorten
from typing import Final

from jessl.tracking.logger import Logger, Status, TrackedRun
from jessl.tracking.points import MetricPoint, PointReader
from jessl.tracking.tail import RecordTail

# between two looks at the records
LOOK_SECONDS: Final = 1.0
# before a logger that failed is opened again; doubled after each failure
_FIRST_RETRY_SECONDS, _MOST_RETRY_SECONDS = 30.0, 600.0


# characters of the reason of a failure: some libraries give paragraphs
_MOST_REASON = 200


class Follower:
    """Follows the records of a run for one logger, in a thread of its own.

    A logger that fails is closed and opened again later, with all that it lacks.

    Args:
        name: of the logger.
        logger_class: opened in the thread.
        tracked: the run.
        on_failure: called with the name and the reason of every failure, in the thread.

    Attributes:
        is_complete: whether the logger has all records, after `join`.
    """

    def __init__(
        self,
        name: str,
        logger_class: type[Logger],
        tracked: TrackedRun,
        on_failure: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self.is_complete = False
        self._class = logger_class
        self._tracked = tracked
        self._on_failure = on_failure
        self._logger: Logger | None = None
        self._tail = RecordTail(tracked.path)
        self._reader = PointReader()
        self._unsent: list[MetricPoint] = []
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._closing = threading.Event()
        self._status: Status = "interrupted"
        # a daemon: a server that does not answer must not hold the process
        self._thread = threading.Thread(target=self._run, name=f"log {name}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self, status: Status) -> None:
        """Have the rest logged and the logger closed; `join` waits for it."""
        self._status = status
        self._closing.set()

    def join(self, seconds: float) -> bool:
        """Wait for the end; False where the logger is not done after so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.is_set()
            self._look(is_last)
            if not is_last:
                self._closing.wait(LOOK_SECONDS)
        if self._logger is not None:
            try:
                self._logger.close(self._status)
                self.is_complete = True
            except Exception as error:
                self._fail(error)

    def _look(self, is_last: bool) -> None:
        """Log what is new; after a failure everything that is missing, when it is time."""
        if time.monotonic() < self._retry_at and not is_last:
            return
        try:
            if self._logger is None:
                self._open()
            self._unsent += self._reader.points(self._tail.read())
            self._send()
        except Exception as error:
            self._fail(error)

    def _open(self) -> None:
        self._tail, self._reader, self._unsent = RecordTail(self._tracked.path), PointReader(), []
        self._logger = self._class(self._tracked)

    def _send(self) -> None:
        assert self._logger is not None
        if self._logger.remembers:
            self._unsent = self._tracked.state.unsent(self._logger.key, self._unsent)
        if self._unsent:
            self._logger.log(self._unsent)
            if self._logger.remembers:
                self._tracked.state.mark_sent(self._logger.key, self._unsent)
            self._unsent = []
        self._retry_seconds = _FIRST_RETRY_SECONDS

    def _fail(self, error: Exception) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        self._on_failure(self.name, shorten(reason, _MOST_REASON, placeholder=" ..."))
        logger, self._logger = self._logger, None
        if logger is not None:
            with suppress(Exception):
                logger.close("failed")
        self._retry_at = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, _MOST_RETRY_SECONDS)
