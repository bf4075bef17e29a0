"""Weights & Biases. Nothing is sent unless a person names this logger; WANDB_MODE=offline holds."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jessl.tracking.logger import DEFAULT_PROJECT, Logger, Status, TrackedRun
from jessl.tracking.points import MetricPoint

_EXIT_CODES = {"failed": 1, "interrupted": 75}
# keys of it serve for its later names too
_FIRST_HOST = "api.wandb.ai"
_OFFLINE = ("offline", "dryrun", "disabled")


class WandbLogger(Logger):
    """Logs to the run of the folder's id; a resumed run continues it.

    The project is the option log_project, WANDB_PROJECT or "jessl"; the files of wandb lie in
    RUN/wandb unless WANDB_DIR names another folder. Steps are a metric of their own, "step": wandb
    refuses steps that do not grow, and a run is evaluated after its last step.
    """

    module = "wandb"
    extra = "wandb"
    remembers = True

    @classmethod
    def check(cls) -> None:
        """Refuse to log online without an API key: wandb would ask for it in the middle."""
        super().check()
        if problem := _login_problem():
            raise ValueError(f"log: {problem}")

    @classmethod
    def place(cls, path: Path) -> str:
        """What shows it."""
        import wandb

        if wandb.setup().settings.mode in _OFFLINE:
            return f"wandb sync {os.environ.get('WANDB_DIR') or path}/wandb/offline-run-*"
        return "wandb"

    def __init__(self, tracked: TrackedRun) -> None:
        import wandb

        if problem := _login_problem():
            raise ValueError(problem)
        project = tracked.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
        self.key = f"wandb {project}"
        with _quiet_log_files():
            self._run: Any = wandb.init(
                project=project,
                group=tracked.group,
                name=tracked.name,
                id=tracked.state.keep_id(),
                resume="allow",
                dir=os.environ.get("WANDB_DIR") or str(tracked.path),
                config=dict(tracked.hyperparameters),
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True),
            )
        self._run.config.update(tracked.hyperparameters, allow_val_change=True)
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        self._run.summary["status"] = "running"

    def log(self, points: Sequence[MetricPoint]) -> None:
        """One entry of the history for each step."""
        for step, at_step in groupby(points, key=lambda point: point.step):
            values: dict[str, float] = {"step": step}
            for point in at_step:
                values[point.name] = point.value
                if point.epoch is not None:
                    values["epoch"] = point.epoch
            self._run.log(values)

    def close(self, status: Status) -> None:
        """Finish the run; online this waits until everything is sent."""
        self._run.summary["status"] = status
        self._run.finish(exit_code=_EXIT_CODES.get(status, 0))


@contextmanager
def _quiet_log_files() -> Iterator[None]:
    """No tracebacks for lines that wandb's own log files cannot take, such as on a full disk.

    Python's logging prints one for each line otherwise; the failure itself is reported by the
    follower. Within the block this holds for all of logging, afterwards for wandb's log files.
    """
    raises, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = raises
        for handler in logging.getLogger("wandb").handlers:
            handler.handleError = _ignore  # type: ignore[method-assign]


def _ignore(record: logging.LogRecord) -> None:
    """What `Handler.handleError` does of a log file of wandb."""


def _login_problem() -> str | None:
    """Why wandb cannot log without asking something, or None."""
    import wandb

    settings = wandb.setup().settings
    if settings.mode in _OFFLINE or settings.api_key or os.environ.get("WANDB_API_KEY"):
        return None
    if getattr(settings, "identity_token_file", None):
        return None
    host = urlsplit(settings.base_url).hostname or ""
    place = os.environ.get("NETRC") or Path.home() / ".netrc"
    try:
        known = netrc.netrc(place).hosts
    except (OSError, netrc.NetrcParseError):
        known = {}
    if known.keys() & {host, _FIRST_HOST}:
        return None
    return f"wandb has no API key for {host}; call wandb login, or set WANDB_MODE=offline"
