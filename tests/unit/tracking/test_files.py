"""The loggers that write into the run folder: a table and TensorBoard's events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.tracked_runs import add_end, add_epoch, add_whole, log_all, new_run, table
from jessl.records import keep_records


def test_the_table_has_a_row_an_epoch_with_all_columns(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    add_whole(run)
    log_all(run, "csv")
    rows = table(run)
    assert list(rows[0]) == [
        *("epoch", "step", "seconds", "train/loss", "train/loss_invariance", "train/lr"),
        *("score/rankme_projector", "probe/knn", "final/rankme_backbone"),
        "test/accuracy_logistic",
    ]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["train/loss"]) for row in rows] == [1 / 4, 1 / 8]
    assert rows[0]["probe/knn"] == "nan"
    assert [row["final/rankme_backbone"] for row in rows] == ["", "7.5"]
    assert rows[1]["test/accuracy_logistic"] == "0.75"


def test_the_table_of_a_resumed_run_is_that_of_one_that_was_never_stopped(tmp_path: Path) -> None:
    whole, parts = new_run(tmp_path / "whole"), new_run(tmp_path / "parts")
    add_whole(whole)
    log_all(whole, "csv")
    add_epoch(parts, 1)
    add_epoch(parts, 2)
    log_all(parts, "csv")
    # the checkpoint was that of epoch 1: what came after it is measured again
    keep_records(parts.path, lambda r: (r.step or 0) <= 4)
    add_epoch(parts, 2)
    add_end(parts, 8)
    log_all(parts, "csv")
    assert table(parts) == table(whole)


def _events(path: Path) -> Any:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is missing: jessl[tensorboard]",
    )
    events = reader.EventAccumulator(str(path / "tensorboard"))
    events.Reload()
    return events


def test_tensorboard_reads_all_points_hyperparameters_and_the_end(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is missing: jessl[tensorboard]")
    from tensorboard.plugins.hparams import api_pb2, metadata

    run = new_run(tmp_path / "run")
    add_whole(run)
    log_all(run, "tensorboard", group="lr-study")
    events = _events(run.path)
    loss = events.Scalars("train/loss")
    assert [(e.step, e.value) for e in loss] == [
        (2, 0.5),
        (4, 0.25),
        (6, pytest.approx(1 / 6)),
        (8, 0.125),
    ]
    assert loss[3].wall_time - loss[0].wall_time == pytest.approx(6)  # seconds of training
    assert [e.value for e in events.Scalars("final/rankme_backbone")] == [7.5]
    about = events.summary_metadata
    start = metadata.parse_session_start_info_plugin_data(
        about[metadata.SESSION_START_INFO_TAG].plugin_data.content
    )
    assert start.hparams["lr"].number_value == 0.25
    assert start.hparams["objective_options.cov"].number_value == 4
    assert start.hparams["study"].string_value == "lr-study"
    end = metadata.parse_session_end_info_plugin_data(
        about[metadata.SESSION_END_INFO_TAG].plugin_data.content
    )
    assert end.status == api_pb2.STATUS_SUCCESS


def test_tensorboard_of_a_resumed_run_has_every_point_once(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    add_epoch(run, 1)
    add_epoch(run, 2)
    log_all(run, "tensorboard")
    (mine,) = (run.path / "tensorboard").iterdir()
    foreign = run.path / "tensorboard" / "events.out.tfevents.1.of-a-person"
    foreign.write_bytes(b"")
    keep_records(run.path, lambda r: (r.step or 0) <= 4)
    add_epoch(run, 2)
    log_all(run, "tensorboard")
    assert not mine.exists()
    assert foreign.exists()
    steps = [e.step for e in _events(run.path).Scalars("train/loss")]
    assert steps == [2, 4, 6, 8]
