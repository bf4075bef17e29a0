"""Leases: who is alive is told by renewals and by processes, never by another machine's clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError

from helpers.sweep_samples import ELSEWHERE, Clock
from jessl.core.processes import process_name
from jessl.sweeps import leases
from jessl.sweeps.leases import Lease, Watch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monotonic clock of whoever watches leases."""
    found = Clock()
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=found))
    return found


def test_a_storage_out_of_reach_for_a_while_does_not_end_a_lease() -> None:
    calls: list[int] = []

    class Flaky:
        def set_trial_user_attr(self, trial_id: int, name: str, beat: int) -> None:
            calls.append(beat)
            if beat < 3:
                raise (StorageInternalError, OSError)[beat % 2]("away")

        def remove_session(self) -> None:
            calls.append(0)

    with Lease(Flaky(), 1, 0.04) as lease:
        end = time.monotonic() + 60
        while len(calls) < 5:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not lease.lost
    assert calls[:5] == [1, 2, 3, 4, 5]
    assert calls[-1] == 0


def _trial(number: int, worker: str | None, beat: int | None = None) -> Any:
    attrs = {"worker": worker, "beat": beat}
    return SimpleNamespace(number=number, user_attrs={k: v for k, v in attrs.items() if v})


def test_clocks_are_never_compared(clock: Clock) -> None:
    watch = Watch(10.0)
    beats = iter([5, 4, 1_000_000_000, 3])  # whatever they count: that they change is what counts
    for beat in beats:
        assert watch.abandoned([_trial(0, ELSEWHERE, beat)]) == []
        clock.now += 9
        assert watch.abandoned([_trial(0, ELSEWHERE, beat)]) == []
        clock.now += 0.5
    clock.now += 10.1
    assert len(watch.abandoned([_trial(0, ELSEWHERE, 3)])) == 1


def test_a_watcher_that_slept_gives_a_trial_its_whole_time(clock: Clock) -> None:
    watch = Watch(10.0)
    assert watch.abandoned([_trial(0, ELSEWHERE, 1)]) == []
    clock.now += 3600
    assert watch.abandoned([_trial(0, ELSEWHERE, 2)]) == []  # it has renewed meanwhile
    clock.now += 9
    assert watch.abandoned([_trial(0, ELSEWHERE, 2), _trial(1, ELSEWHERE, 7)]) == []
    clock.now += 2
    both = [_trial(0, ELSEWHERE, 2), _trial(1, ELSEWHERE, 7)]
    assert [t.number for t in watch.abandoned(both)] == [0]


def test_a_new_watcher_takes_nothing_over_at_once(clock: Clock) -> None:
    clock.now += 1e6
    assert Watch(10.0).abandoned([_trial(0, ELSEWHERE, 3), _trial(1, None)]) == []


_NAME = "from jessl.core.processes import process_name; print(process_name(), flush=True); input()"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_process_of_this_machine_that_is_gone_is_seen_at_once(clock: Clock) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        name = process.stdout.readline().strip()
        watch = Watch(1000.0)
        assert watch.abandoned([_trial(0, name)]) == []
        process.kill()
        end = time.monotonic() + 60
        while not watch.abandoned([_trial(0, name)]):  # not waited for: it is a zombie
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert len(watch.abandoned([_trial(0, name)])) == 1
    assert len(Watch(1000.0).abandoned([_trial(0, name)])) == 1  # by one that never saw it alive


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_only_processes_of_this_machine_are_looked_for(clock: Clock) -> None:
    mine = process_name()
    place, pid, started = mine.rsplit("/", 2)
    assert int(pid) == os.getpid()
    watch = Watch(10.0)
    assert watch.abandoned([_trial(0, mine)]) == []
    # the same number, given to another process meanwhile
    assert len(watch.abandoned([_trial(1, f"{place}/{pid}/{int(started) + 1}")])) == 1
    host, boot, space = place.split("/")
    others = [
        f"elsewhere/{boot}/{space}/{pid}/1",
        f"{host}/another-start/{space}/{pid}/1",
        f"{host}/{boot}/pid:[1]/{pid}/1",
        "",
        "nonsense",
    ]
    trials = [_trial(k + 2, other) for k, other in enumerate(others)]
    assert watch.abandoned(trials) == []
    clock.now += 11
    assert len(watch.abandoned(trials)) == len(others)
    assert process_name() == mine
