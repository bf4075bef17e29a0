"""A training process that is stopped, killed or absent is named in one line within the patience."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.processes import CONTEXT, preload
from jessl.core import heartbeats, process_group

WORLD = 2
BEAT, SILENT = 0.2, 2.0


def _run(rank: int, port: int, folder: str, work: Callable[[int], object]) -> None:
    heartbeats.BEAT_SECONDS, heartbeats.SILENT_SECONDS = BEAT, SILENT
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(WORLD), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    errors = os.open(f"{folder}/{rank}.err", os.O_CREAT | os.O_WRONLY)
    os.dup2(errors, 2)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    try:
        with process_group.process_group("cpu"):
            work(rank)
    except ConnectionError as error:
        print(f"one line: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    os._exit(0)


def _outcome(
    folder: Path, work: Callable[[int], object], ranks: tuple[int, ...], watched: int
) -> tuple[int | None, str]:
    """(exit code, standard error) of one of the processes."""
    preload()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [CONTEXT.Process(target=_run, args=(r, port, str(folder), work)) for r in ranks]
    try:
        for process in processes:
            process.start()
        processes[watched].join(60)
        return processes[watched].exitcode, (folder / f"{ranks[watched]}.err").read_text()
    finally:
        for process in processes:
            process.kill()
            process.join()


def _signal_myself(victim: int, number: int, rank: int) -> None:
    process_group.all_gather_object(rank)
    if rank == victim:
        os.kill(os.getpid(), number)
    process_group.all_gather_object(rank)


def _stop_one(rank: int) -> None:
    _signal_myself(1, signal.SIGSTOP, rank)


def _stop_zero(rank: int) -> None:
    _signal_myself(0, signal.SIGSTOP, rank)


def _kill_one(rank: int) -> None:
    _signal_myself(1, signal.SIGKILL, rank)


def _kill_zero(rank: int) -> None:
    _signal_myself(0, signal.SIGKILL, rank)


def _stop_alone() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _stop_while_alone(rank: int) -> None:
    # the first process holds the store: stopped before the other has begun to beat, it is named
    # by the time limit of the store alone
    process_group.all_gather_object(rank)
    process_group.on_rank_zero(_stop_alone)


def _nothing(rank: int) -> None:
    pass


def _long_alone(rank: int) -> None:
    slept = process_group.on_rank_zero(lambda: time.sleep(2 * SILENT))
    assert process_group.all_gather_object(slept) == [None, None]
    assert process_group.on_rank_zero(lambda: 7) == 7


@pytest.mark.parametrize(
    ("work", "watched", "line"),
    [
        (_stop_one, 0, "rank 1 has not been heard of for"),
        (_stop_zero, 1, "rank 0 has not been heard of for"),
        (_stop_while_alone, 1, "rank 0 has not been heard of for"),
        (_kill_one, 0, "one line: rank 1 has ended"),
        (_kill_zero, 1, "one line: rank 0 has ended"),
    ],
)
def test_a_lost_process_is_named(
    tmp_path: Path, work: Callable[[int], object], watched: int, line: str
) -> None:
    code, errors = _outcome(tmp_path, work, (0, 1), watched)
    assert code == heartbeats.EXIT_LOST
    assert line in errors
    assert "Traceback" not in errors


def test_a_process_that_never_comes_is_reported(tmp_path: Path) -> None:
    code, errors = _outcome(tmp_path, _nothing, (0,), 0)
    assert code == 2
    assert "did not meet" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("watched", [0, 1])
def test_the_others_wait_for_a_first_process_that_beats(tmp_path: Path, watched: int) -> None:
    code, errors = _outcome(tmp_path, _long_alone, (0, 1), watched)
    assert code == 0
    assert "rank" not in errors
    assert "Traceback" not in errors
