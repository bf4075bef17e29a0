"""MLflow. Nothing is sent unless a person names this logger and a server (MLFLOW_TRACKING_URI)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jessl.tracking.logger import DEFAULT_PROJECT, Logger, Status, TrackedRun
from jessl.tracking.points import MetricPoint

_ID_TAG, _STUDY_TAG, _STATUS_TAG = "jessl.id", "jessl.study", "jessl.status"
_STATUSES = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "pruned": "KILLED",
}
# limits of one request, by MLflow's REST API
_MOST_METRICS, _MOST_PARAMS, _LONGEST_PARAM = 1000, 100, 6000


class MlflowLogger(Logger):
    """Logs to the run with the folder's id, which a tag holds; a resumed run continues it.

    Runs go where MLFLOW_TRACKING_URI says, and else where MLflow itself puts them: the SQLite file
    mlflow.db of the working directory, which `mlflow ui` shows. The experiment is the option
    log_project, MLFLOW_EXPERIMENT_NAME or "jessl". MLflow's own telemetry is off unless
    MLFLOW_DISABLE_TELEMETRY is set: it looks up a server also for local files.
    """

    module = "mlflow"
    extra = "mlflow"
    remembers = True
    key = "mlflow"

    @classmethod
    def place(cls, path: Path) -> str:
        """The command that shows it."""
        return os.environ.get("MLFLOW_TRACKING_URI") or "mlflow ui"

    def __init__(self, tracked: TrackedRun) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        # one line for each of the hundred steps that create the tables of a new SQLite file
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._metric = Metric
        self._client: Any = MlflowClient()
        experiment = self._experiment(tracked.project)
        run_id = tracked.state.keep_id()
        matched = self._client.search_runs([experiment], f"tags.`{_ID_TAG}` = '{run_id}'")
        if matched:
            self._id = matched[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tracked.state.forget(self.key)
        tags = {_ID_TAG: run_id}
        if tracked.group is not None:
            tags[_STUDY_TAG] = tracked.group
        created = self._client.create_run(experiment, run_name=tracked.name, tags=tags)
        self._id = created.info.run_id
        # a parameter cannot be changed later: those of a resumed run stay as they are
        params = [
            Param(name, str(value)[:_LONGEST_PARAM])
            for name, value in tracked.hyperparameters.items()
        ]
        for k in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._id, params=params[k : k + _MOST_PARAMS])

    def log(self, points: Sequence[MetricPoint]) -> None:
        """Log points in as few requests as MLflow allows."""
        now = int(1000 * time.time())
        metrics = [self._metric(p.name, p.value, now, p.step) for p in points]
        for k in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[k : k + _MOST_METRICS])

    def close(self, status: Status) -> None:
        """Set how the run ended."""
        self._client.set_tag(self._id, _STATUS_TAG, status)
        self._client.set_terminated(self._id, _STATUSES[status])

    def _experiment(self, project: str | None) -> str:
        """The id of the experiment, which is created where there is none."""
        name = project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_PROJECT
        existing = self._client.get_experiment_by_name(name)
        if existing is None:
            try:
                return str(self._client.create_experiment(name))
            except Exception:  # another process was first
                existing = self._client.get_experiment_by_name(name)
                if existing is None:
                    raise
        return str(existing.experiment_id)
