"""The logger wandb, offline, with the real package."""

from __future__ import annotations

import json
import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.tracked_runs import add_end, add_epoch, log_all, new_run
from jessl.tracking import check_loggers
from jessl.tracking.loggers.wandb import _quiet_log_files
from jessl.tracking.state import TrackingState

pytest.importorskip("wandb", reason="wandb is missing: jessl[wandb]")

_BLOCK, _FILE_HEADER, _HEADER = 32768, 7, struct.Struct("<IHB")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def _messages(path: Path) -> Iterator[bytes]:
    """The messages of a .wandb file: the log format of LevelDB after a header of its own."""
    content = path.read_bytes()
    at, message = _FILE_HEADER, b""
    while at + _HEADER.size <= len(content):
        if _BLOCK - at % _BLOCK < _HEADER.size:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(content, at)
        message += content[at + _HEADER.size : at + _HEADER.size + length]
        at += _HEADER.size + length
        if kind in (1, 4):  # whole, or the last part
            yield message
            message = b""


def _records(folder: Path) -> list[Any]:
    """The records of a finished run; offline, wandb's own process writes the last ones a little
    after it is finished."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("*.wandb")
    records: list[Any] = []
    end = time.monotonic() + 30
    while not any(record.HasField("exit") for record in records):
        assert time.monotonic() < end
        time.sleep(0.02)
        records = []
        for message in _messages(path):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            records.append(record)
    return records


def _history(records: list[Any]) -> list[dict[str, float]]:
    rows = [r.history.item for r in records if r.WhichOneof("record_type") == "history"]
    return [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in row}
        for row in rows
    ]


def test_a_run_and_its_resumption_are_one_run_with_every_point_once(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    add_epoch(run, 1)
    log_all(run, "wandb", group="lr-study")
    (first,) = (run.path / "wandb").glob("offline-run-*")
    time.sleep(1)  # the folders are named by the second
    add_epoch(run, 1)
    add_epoch(run, 2)
    add_end(run, 8)
    log_all(run, "wandb", group="lr-study")
    folders = sorted((run.path / "wandb").glob("offline-run-*"), key=lambda f: f != first)
    assert len(folders) == 2
    parts = [_records(folder) for folder in folders]
    loss = [
        (row["step"], row["train/loss"])
        for records in parts
        for row in _history(records)
        if "train/loss" in row
    ]
    assert loss == [(2, 1 / 2), (4, 1 / 4), (6, 1 / 6), (8, 1 / 8)]
    last = _history(parts[-1])
    assert any(row.get("final/rankme_backbone") == 7.5 and row["step"] == 8 for row in last)
    about = [r.run for records in parts for r in records if r.WhichOneof("record_type") == "run"]
    assert {a.run_id for a in about} == {TrackingState(run.path).keep_id()}
    assert {(a.project, a.run_group, a.display_name) for a in about} == {
        ("jessl", "lr-study", "run")
    }
    exits = [r.exit.exit_code for records in parts for r in records if r.HasField("exit")]
    assert exits == [0, 0]


def test_online_without_a_key_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import wandb

    monkeypatch.setattr(wandb.setup().settings, "mode", "online")
    with pytest.raises(ValueError, match=r"^log: wandb has no API key for [a-z.]+; call wandb lo"):
        check_loggers(("wandb",))
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    check_loggers(("wandb",))


def test_log_files_of_wandb_on_a_full_disk_print_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise OSError(28, "No space left on device")
            except OSError:
                self.handleError(record)

    logger, handler = logging.getLogger("wandb"), Full()
    with _quiet_log_files():
        logger.addHandler(handler)
        logger.error("while it is opened")
    logger.error("afterwards")
    logger.removeHandler(handler)
    assert "Traceback" not in capsys.readouterr().err
    assert logging.raiseExceptions
