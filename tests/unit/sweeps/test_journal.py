"""The journal of a study: whole after any kill, complete with any number of writers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.processes import CONTEXT, preload
from jessl.sweeps.storage import open_journal, open_storage


def _op(k: int, writer: int = 0) -> dict[str, Any]:
    return {"op_code": 2, "worker_id": f"w{writer}", "study_id": 0, "user_attr": {"k": k}}


def _numbers(path: Path) -> list[int]:
    return [log["user_attr"]["k"] for log in open_journal(str(path)).read_logs(0)]


LINE = json.dumps(_op(2), separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("cut", range(len(LINE)))
def test_a_torn_line_is_healed_by_the_next_writer(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "study.log"
    writer, reader = open_journal(str(path)), open_journal(str(path))
    writer.append_logs([_op(0), _op(1)])
    assert len(list(reader.read_logs(0))) == 2
    whole = path.read_bytes()
    path.write_bytes(whole + LINE[:cut])  # what a writer leaves that is killed in the middle
    assert list(reader.read_logs(2)) == []
    assert _numbers(path) == [0, 1]
    writer.append_logs([_op(3)])
    assert [log["user_attr"]["k"] for log in reader.read_logs(2)] == [3]
    assert [log["user_attr"]["k"] for log in writer.read_logs(0)] == [0, 1, 3]
    assert path.read_bytes().startswith(whole)
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("cut", [1, 10, 11, len(LINE) - 1])
def test_a_torn_first_line_is_healed_as_well(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "study.log"
    path.write_bytes(LINE[:cut])
    open_journal(str(path)).append_logs([_op(7)])
    assert _numbers(path) == [7]


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    open_journal(str(path)).append_logs([_op(0)])
    with path.open("ab") as file:
        file.write(b'{"op_code":' + b"1" * 3 * 4096)
    open_journal(str(path)).append_logs([_op(1)])
    assert _numbers(path) == [0, 1]
    path.write_bytes(b'{"op_code":' + b"1" * (4096 - len(b'{"op_code":')))
    open_journal(str(path)).append_logs([_op(2)])
    assert _numbers(path) == [2]


def test_a_reader_that_has_read_a_torn_line_reads_what_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    one, two = open_storage(f"journal:{path}", tmp_path), open_storage(f"journal:{path}", tmp_path)
    from optuna.study import StudyDirection

    study = one.backend.create_new_study([StudyDirection.MAXIMIZE], "s")
    with path.open("ab") as file:
        file.write(b'{"op_code":2,"worker_id":"dead","study_id":0,"user_attr":{"gone":tr')
    assert two.backend.get_study_user_attrs(study) == {}
    one.backend.set_study_user_attr(study, "here", 1)
    assert two.backend.get_study_user_attrs(study) == {"here": 1}
    two.backend.set_study_user_attr(study, "there", 2)
    assert one.backend.get_study_user_attrs(study) == {"here": 1, "there": 2}


def _append(path: str, writer: int, count: int, go: Any) -> None:
    go.wait()
    backend = open_journal(path)
    for k in range(count):
        backend.append_logs([_op(k, writer)] * (1 + k % 3))


def test_processes_that_append_at_once_lose_no_line(tmp_path: Path) -> None:
    path, writers, count = tmp_path / "study.log", 3, 60
    preload()
    context = CONTEXT
    go = context.Event()
    processes = [
        context.Process(target=_append, args=(str(path), w, count, go)) for w in range(writers)
    ]
    for process in processes:
        process.start()
    go.set()
    reader = open_journal(str(path))
    seen: list[dict[str, Any]] = []
    while any(p.is_alive() for p in processes):  # reads while they write
        seen += reader.read_logs(len(seen))
        time.sleep(0.01)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    seen += reader.read_logs(len(seen))
    wanted = [k for k in range(count) for _ in range(1 + k % 3)]
    for w in range(writers):
        assert [s["user_attr"]["k"] for s in seen if s["worker_id"] == f"w{w}"] == wanted
    assert len(seen) == writers * len(wanted)


_HOLDER = """
import sys, time
from pathlib import Path
from jessl.sweeps.storage import _WritersLock
lock = _WritersLock(sys.argv[1])
lock.acquire()
with open(sys.argv[1], "ab") as file:
    file.write(b'{"op_code":2,"worker')
print("held", flush=True)
time.sleep(600)
"""


def test_the_lock_of_a_killed_writer_is_free_and_its_half_line_gone(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    open_journal(str(path)).append_logs([_op(0)])
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        from filelock import FileLock, Timeout

        with pytest.raises(Timeout):  # it is held while the process lives
            FileLock(f"{path}.lock").acquire(timeout=0.2)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    # Optuna's own lock would stay for 30 s
    with FileLock(f"{path}.lock", timeout=10):
        pass
    open_journal(str(path)).append_logs([_op(1)])
    assert _numbers(path) == [0, 1]


def test_a_lock_is_let_go_where_the_journal_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    backend = open_journal(str(path))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        backend.append_logs([_op(0)])
    path.touch()
    open_journal(str(path)).append_logs([_op(1)])  # would wait for ever
    assert _numbers(path) == [1]


@pytest.mark.parametrize(
    "content", [b"hello", b"hello\n", b"one\ntwo\n", b'{"a":1}\n', b"[1]\n", b"\x00" * 50, b"\n"]
)
def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"storage journal:.*notes.txt is no journal") as caught:
        open_storage(f"journal:{path}", tmp_path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "middle", [b'{"op_code":broken}\n', b'{"op_code":77,"worker_id":"x"}\n', b"\x00\x00\n"]
)
def test_garbage_within_a_journal_is_told(tmp_path: Path, middle: bytes) -> None:
    path = tmp_path / "study.log"
    created = b'{"op_code":0,"worker_id":"w","study_name":"s","directions":[2]}\n'
    path.write_bytes(created + middle + LINE)
    with pytest.raises(ValueError, match=r"is no journal of a study") as caught:
        open_storage(f"journal:{path}", tmp_path)
    assert "\n" not in str(caught.value)
