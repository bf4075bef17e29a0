"""Many workers at one ledger at once: each unit is one's alone, and each ends once."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.processes import CONTEXT, preload
from helpers.sweep_samples import (
    UNITS,
    ledger,
    owners,
)
from jessl.sweeps.coordination import DIVERGED, FINISHED, PRUNED, REFUSED, Ledger, Unit
from jessl.sweeps.storage import Storage

WORKERS = 4
Books = Callable[..., tuple[Ledger, Storage]]


def _race(url: str, folder: str, worker: int, go: Any, told: Any, asking: bool) -> None:
    """Claim and end as fast as can be; the last of the workers dies within its first unit."""
    books, _ = ledger(url, Path(folder), lease_seconds=60.0)
    if worker == WORKERS - 1:
        books.enqueue(UNITS)
        assert books.claim() is not None
        go.wait()
        os._exit(9)
    rng = random.Random(worker)
    go.wait()
    end = time.monotonic() + 240
    while len(books.ended(UNITS)) < len(UNITS):
        assert time.monotonic() < end
        if asking and rng.random() < 0.3:
            books.draw(0)
        unit = books.claim()
        if unit is None:
            books.release_lost()
            books.enqueue(UNITS)
            time.sleep(0.02 * rng.random())
            continue
        if rng.random() < 0.1:
            books.release(unit)
            continue
        outcome = rng.choice([FINISHED, PRUNED, DIVERGED, REFUSED])
        if books.end(unit, outcome, 1.0, {"worker": worker, "try": unit.number}):
            told.send((unit.name, worker, unit.number, outcome))
    told.close()


@pytest.mark.parametrize("asking", [False, True])
def test_processes_that_claim_at_once_end_every_unit_exactly_once(
    url: str, tmp_path: Path, books: Books, asking: bool
) -> None:
    preload()
    context = CONTEXT
    go = context.Barrier(WORKERS)
    pipes, processes = [], []
    for worker in range(WORKERS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_race, args=(url, str(tmp_path), worker, go, theirs, asking)
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    told = []
    for ours in pipes:
        with ours:
            while True:
                try:
                    told.append(ours.recv())
                except EOFError:
                    break
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0] * (WORKERS - 1) + [9]
    one, _ = books()
    ended = one.ended(UNITS)
    assert [e.unit.name for e in ended] == [u.name for u in UNITS]
    # what the workers were told is what is written, and each unit was told once
    assert sorted(name for name, *_ in told) == sorted(u.name for u in UNITS)
    written = {(e.unit.name, e.result["worker"], e.result["try"], e.outcome) for e in ended}
    assert written == set(told)
    assert owners(one, UNITS) == {u.name: 1 for u in UNITS}
    assert one.count_running() == 0


def test_threads_that_claim_at_once_share_the_units(books: Books) -> None:
    one, _ = books()
    one.enqueue(UNITS[:20])
    ledgers = [books()[0] for _ in range(4)]
    found: list[Unit] = []

    def claim(mine: Ledger) -> None:
        while (unit := mine.claim()) is not None:
            found.append(unit)

    threads = [threading.Thread(target=claim, args=(mine,)) for mine in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(u.name for u in found) == sorted(u.name for u in UNITS[:20])
    assert len({u.number for u in found}) == len(UNITS[:20])
    assert one.count_running() == len(UNITS[:20])
