"""What a run remembers of loggers that cannot be written anew: its id there, and what they have."""

from __future__ import annotations

import re
import secrets
import string
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jessl.core.files import contained, read_json, write_json
from jessl.tracking.points import MetricPoint

FILE = "tracking.json"
_ID = re.compile(r"[a-z0-9]{8,32}")
_LETTERS = string.ascii_lowercase + string.digits


class TrackingState:
    """RUN/tracking.json: {"id": ..., "sent": {logger: {metric: last step}}}.

    A resumed run computes the steps after its checkpoint again; the last step of each metric that a
    logger has decides which points it still lacks. The threads of several loggers share an object.

    Args:
        folder: of the run; the file is written when something is to be remembered.
    """

    def __init__(self, folder: Path) -> None:
        self._path = contained(folder, FILE)
        self._lock = threading.Lock()
        stored = _stored(self._path)
        name = stored.get("id")
        sent = stored.get("sent")
        self._sent = _steps(sent) if isinstance(sent, dict) else {}
        self._is_new = not (isinstance(name, str) and _ID.fullmatch(name))
        self.id = "".join(secrets.choice(_LETTERS) for _ in range(12)) if self._is_new else name

    def keep_id(self) -> str:
        """The id of the run at its loggers, which is on the disk from now on."""
        with self._lock:
            if self._is_new:
                self._write()
                self._is_new = False
        return str(self.id)

    def forget(self, logger: str) -> None:
        """A logger has nothing of the run."""
        with self._lock:
            if self._sent.pop(logger, None) is not None:
                self._write()

    def unsent(self, logger: str, points: Sequence[MetricPoint]) -> list[MetricPoint]:
        """The points that a logger does not have."""
        steps = self._sent.get(logger, {})
        return [point for point in points if point.step > steps.get(point.name, -1)]

    def mark_sent(self, logger: str, points: Sequence[MetricPoint]) -> None:
        """A logger has these points now."""
        with self._lock:
            steps = self._sent.setdefault(logger, {})
            for point in points:
                steps[point.name] = max(point.step, steps.get(point.name, -1))
            self._write()

    def _write(self) -> None:
        write_json(self._path, {"id": self.id, "sent": self._sent})


def _stored(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except ValueError:  # none yet, or damaged: everything is sent under a new id
        return {}
    return value if isinstance(value, dict) else {}


def _steps(sent: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {
        logger: {name: step for name, step in steps.items() if isinstance(step, int)}
        for logger, steps in sent.items()
        if isinstance(steps, dict)
    }
