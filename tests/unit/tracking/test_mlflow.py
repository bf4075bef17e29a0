"""The logger mlflow with the real package and its default store, an SQLite file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from helpers.tracked_runs import add_end, add_epoch, log_all, new_run
from jessl.core.interruption import Stopped
from jessl.core.log import Log
from jessl.tracking import Tracking
from jessl.tracking import tracking as tracking_module

pytest.importorskip("mlflow", reason="mlflow is missing: jessl[mlflow]")
# of mlflow and SQLAlchemy, in the code of mlflow alone
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def _client(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    return MlflowClient


def test_runs_are_continued_grouped_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # a new SQLite file takes MLflow ten seconds on a busy machine
    monkeypatch.setattr(tracking_module, "_STOP_SECONDS", 120.0)
    client_class = _client(monkeypatch, tmp_path)
    run, other = new_run(tmp_path / "a"), new_run(tmp_path / "b")
    lines: list[str] = []
    add_epoch(run, 1)
    tracking = Tracking(("mlflow",), group="lr-study", log=Log(lines.append))
    tracker = tracking.tracker()
    tracker.start(run)
    with pytest.raises(Stopped), tracker:
        raise Stopped("stop")
    assert lines == []
    client = client_class()
    experiment = client.get_experiment_by_name("jessl").experiment_id
    (killed,) = client.search_runs([experiment])
    assert (killed.info.status, killed.info.run_name) == ("KILLED", "a")
    assert killed.data.params["objective_options.cov"] == "4.0"
    assert killed.data.params["lr"] == "0.25"

    add_epoch(run, 1)
    add_epoch(run, 2)
    add_end(run, 8)
    log_all(run, "mlflow", group="lr-study")
    add_epoch(other, 1)
    log_all(other, "mlflow", group="lr-study")
    runs = client.search_runs([experiment], "tags.`jessl.study` = 'lr-study'")
    assert sorted((r.info.run_name, r.info.status) for r in runs) == [
        ("a", "FINISHED"),
        ("b", "FINISHED"),
    ]
    history = client.get_metric_history(killed.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == [(2, 1 / 2), (4, 1 / 4), (6, 1 / 6), (8, 1 / 8)]
    final = client.get_run(killed.info.run_id).data.metrics
    assert final["final/rankme_backbone"] == 7.5
    assert final["test/accuracy_logistic"] == 0.75
    assert "mlruns" not in os.listdir(tmp_path)
