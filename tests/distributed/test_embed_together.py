"""Processes that share an embedding write the files of one, also after one of them is killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import jessl
from helpers.processes import CONTEXT, preload
from jessl.core import heartbeats
from jessl.core.interruption import Stopped
from jessl.core.process_group import process_group
from jessl.core.shared_work import pieces
from jessl.extraction import embed_to_folder
from jessl.extraction.part_folder import PARTS

IMAGES, BATCH = 90, 4
PART_COUNT = 12


def _embed(folder: Path, name: str, stop: Callable[[], bool] | None = None) -> jessl.Embeddings:
    embed_to_folder.PART_ROWS, embed_to_folder._LEAST_PARTS = 8, 1
    found = jessl.embed(
        "smallconv:4", str(folder / "images.npz"), out=folder / name, init="random", size=8,
        batch_size=BATCH, workers=1, device="cpu", stop=stop,
    )  # fmt: skip
    assert isinstance(found, jessl.Embeddings)
    return found


def _whole(folder: Path, name: str, rank: int) -> None:
    found = _embed(folder, name)
    assert found.n == IMAGES
    np.save(folder / f"{rank}.npy", found.features)


def _stopped_by_one(folder: Path, name: str, rank: int) -> None:
    """One process gets the signal; both save and leave."""
    calls: list[int] = []
    try:
        _embed(folder, name, stop=lambda: calls.append(1) or (rank == 1 and len(calls) > 2))
    except Stopped:
        (folder / f"{rank}.stopped").touch()


def _one_is_killed(folder: Path, name: str, rank: int) -> None:
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        if rank == 1 and len(calls) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    _embed(folder, name, stop=stop)


def _run(
    rank: int, world: int, port: int, folder: Path, name: str, work: Callable[..., None]
) -> None:
    torch.set_num_threads(1)
    heartbeats.BEAT_SECONDS = 0.2
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    errors = os.open(folder / f"{rank}.err", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(errors, 2)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    code = 0
    try:
        with process_group("cpu"):
            work(folder, name, rank)
    except ConnectionError as error:
        print(f"one line: {error}", file=sys.stderr, flush=True)
        code = 2
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        code = 1
    os._exit(code)


def _processes(
    world: int, folder: Path, name: str, work: Callable[..., None]
) -> tuple[list[int | None], str]:
    """(exit codes, standard error of the first process)."""
    preload()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        CONTEXT.Process(target=_run, args=(rank, world, port, folder, name, work))
        for rank in range(world)
    ]
    try:
        for process in started:
            process.start()
        for process in started:
            process.join(90)
        return [p.exitcode for p in started], (folder / "0.err").read_text()
    finally:
        for process in started:
            process.kill()
            process.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    x = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(IMAGES) % 3)
    return tmp_path


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    monkeypatch.setattr(embed_to_folder, "PART_ROWS", 8)
    monkeypatch.setattr(embed_to_folder, "_LEAST_PARTS", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _embed(folder, "one")
    finally:
        torch.set_num_threads(threads)
    return _files(folder / "one")


def test_two_write_the_files_of_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, errors = _processes(2, folder, "two", _whole)
    assert codes == [0, 0], errors
    assert _files(folder / "two") == _one(folder, monkeypatch)
    np.testing.assert_array_equal(np.load(folder / "0.npy"), np.load(folder / "1.npy"))


@pytest.mark.parametrize("world", [1, 3])
def test_another_number_continues_where_one_was_killed(
    folder: Path, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, errors = _processes(2, folder, "out", _one_is_killed)
    assert codes == [2, -signal.SIGKILL]
    assert "one line: rank 1 has ended" in errors
    finished = {p.name: p.stat().st_mtime_ns for p in (folder / "out" / PARTS).glob("0*")}
    assert 0 < len(finished) < PART_COUNT
    codes, errors = _processes(world, folder, "out", _whole)
    assert codes == [0] * world, errors
    assert f"{len(finished)} of {PART_COUNT} parts are there" in errors
    assert _files(folder / "out") == _one(folder, monkeypatch)


def test_a_signal_to_one_stops_both(folder: Path) -> None:
    codes, errors = _processes(2, folder, "out", _stopped_by_one)
    assert codes == [0, 0], errors
    assert (folder / "0.stopped").exists()
    assert (folder / "1.stopped").exists()
    assert (folder / "out" / PARTS / "state.json").exists()


def test_each_item_is_in_one_piece() -> None:
    for count in (0, 1, 7, 100):
        for world in (1, 2, 5):
            divided = pieces(range(count), world)
            assert [i for piece in divided for i in piece] == list(range(count))
            assert all(divided)
            assert world == 1 or count < 2 or len(divided[-1]) == 1
