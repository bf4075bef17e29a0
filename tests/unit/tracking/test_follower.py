"""Following the records while they are written; loggers that fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.tracked_runs import add_end, add_epoch, add_whole, log_all, new_run, table
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT, Log
from jessl.tracking import Tracking, follower, registry, tracking
from jessl.tracking.logger import Logger, Status, TrackedRun
from jessl.tracking.points import MetricPoint
from jessl.tracking.registry import known_loggers
from jessl.tracking.state import FILE, TrackingState

Calls = list[tuple[str, Any]]


class Remote(Logger):
    """A logger whose server is a list, and may be out of reach."""

    remembers = True
    key = "remote"
    calls: Calls
    is_down = False

    @classmethod
    def place(cls, path: Path) -> str:
        return "remote"

    def __init__(self, tracked: TrackedRun) -> None:
        if Remote.is_down:
            raise OSError("no\nroute")
        Remote.calls.append(("open", tracked.state.keep_id()))

    def log(self, points: Sequence[MetricPoint]) -> None:
        if Remote.is_down:
            raise OSError("no route")
        Remote.calls += [(p.name, p.step) for p in points]

    def close(self, status: Status) -> None:
        Remote.calls.append(("close", status))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """What the logger "remote" got."""
    loggers = {**known_loggers(), "remote": Remote}
    monkeypatch.setattr(registry, "known_loggers", lambda: loggers)
    Remote.calls, Remote.is_down = [], False
    yield Remote.calls
    Remote.is_down = False


def _losses(calls: Calls) -> list[int]:
    return [step for name, step in calls if name == "train/loss"]


def test_records_are_logged_while_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "LOOK_SECONDS", 0.005)
    run = new_run(tmp_path / "run")
    with Tracking(("csv",), log=SILENT).tracker() as tracker:
        assert tracker.start(run) == [str(run.path / "metrics.csv")]
        for epoch in (1, 2):
            add_epoch(run, epoch)
            end = time.monotonic() + 20
            while not (run.path / "metrics.csv").exists() or len(table(run)) < epoch:
                assert time.monotonic() < end
                time.sleep(0.005)


def test_a_resumed_run_sends_what_was_not_sent_and_nothing_twice(
    tmp_path: Path, calls: Calls
) -> None:
    run = new_run(tmp_path / "run")
    add_epoch(run, 1)
    log_all(run, "remote")
    # a process that was killed had written an epoch more, and read one line of it
    add_epoch(run, 2)
    log_all(run, "remote")
    add_epoch(run, 2)  # after a checkpoint it is measured again
    add_end(run, 8)
    log_all(run, "remote")
    assert _losses(calls) == [2, 4, 6, 8]
    assert len({value for name, value in calls if name == "open"}) == 1
    assert [value for name, value in calls if name == "final/rankme_backbone"] == [8]


def test_a_logger_that_fails_warns_once_and_is_given_all_when_it_is_back(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(follower, "_FIRST_RETRY_SECONDS", 0.01)
    run = new_run(tmp_path / "run")
    lines: list[str] = []
    Remote.is_down = True
    with Tracking(("remote", "csv"), log=Log(lines.append)).tracker() as tracker:
        tracker.start(run)
        add_epoch(run, 1)
        time.sleep(0.1)
        Remote.is_down = False
        add_epoch(run, 2)
    assert lines == [
        "warning: log: remote failed and is tried again later; the training goes on (no route)"
    ]
    assert _losses(calls) == [2, 4, 6, 8]
    assert calls[-1] == ("close", "finished")
    assert len(table(run)) == 2


def test_a_logger_that_stays_away_is_named_at_the_end_and_can_be_made_up_for(
    tmp_path: Path, calls: Calls
) -> None:
    run = new_run(tmp_path / "run")
    add_whole(run)
    lines: list[str] = []
    Remote.is_down = True
    log_all(run, "remote", "csv", warnings=lines)
    assert [line.partition("(")[0] for line in lines] == [
        "warning: log: remote failed and is tried again later; the training goes on ",
        "warning: log: remote lacks records; records.jsonl has all of them, and --resume logs what "
        "is missing",
    ]
    Remote.is_down = False
    log_all(run, "remote")
    assert _losses(calls) == [2, 4, 6, 8]


def test_a_logger_that_does_not_answer_holds_nothing_up(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_END_SECONDS", 0.02)
    answer = threading.Event()
    monkeypatch.setattr(Remote, "log", lambda _self, _points: answer.wait())
    run = new_run(tmp_path / "run")
    add_epoch(run, 1)
    lines: list[str] = []
    log_all(run, "remote", warnings=lines)
    answer.set()
    assert lines == [
        "warning: log: remote lacks records; records.jsonl has all of them, and --resume logs what "
        "is missing"
    ]


def test_a_full_disk_costs_the_table_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = new_run(tmp_path / "run")
    add_whole(run)
    lines: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(known_loggers()["csv"], "_write", full)
        log_all(run, "csv", warnings=lines)
    assert len(lines) == 2
    assert "No space left on device" in lines[0]
    log_all(run, "csv")
    assert len(table(run)) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [(Stopped("stop"), "interrupted"), (KeyboardInterrupt(), "interrupted"), (OSError(), "failed")],
)
def test_the_status_is_that_of_the_block(
    tmp_path: Path, calls: Calls, error: BaseException, status: str
) -> None:
    run = new_run(tmp_path / "run")
    tracker = Tracking(("remote",), log=SILENT).tracker()
    tracker.start(run)
    with pytest.raises(type(error)), tracker:
        raise error
    assert calls[-1] == ("close", status)


def test_a_damaged_state_begins_anew(tmp_path: Path) -> None:
    for content in ("", "[1]", '{"id": "../x", "sent": {"a": 1, "b": {"c": "d"}}}'):
        (tmp_path / FILE).write_text(content)
        state = TrackingState(tmp_path)
        assert len(state.keep_id()) == 12
        assert TrackingState(tmp_path).keep_id() == state.keep_id()
        point = MetricPoint("c", 1.0, 3, None, None)
        assert state.unsent("b", [point]) == [point]
