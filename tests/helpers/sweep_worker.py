"""Worker processes of a study for the tests, each of which can be told when to die."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from helpers.processes import CONTEXT, preload

LEASE_SECONDS = 2.0
TRAINING, WRITING, ENDED = "training", "writing", "ended"


@contextlib.contextmanager
def started(
    folder: Path, storage: str | None, dies: Sequence[str | None], look_seconds: float = 0.2
) -> Iterator[list[BaseProcess]]:
    """One worker process for each entry of `dies`, which says when it kills itself, if ever:

    - "training": in the middle of its first training;
    - "writing": in the middle of writing that its first unit ended, which is half a line of a
      journal, or a transaction of a database without its end;
    - "ended": when it has trained and judged its first unit, and before it tells.

    They wait for each other before they work: each gets a unit.
    """
    preload()
    meet = CONTEXT.Barrier(len(dies))
    found: list[BaseProcess] = [
        CONTEXT.Process(target=_work, args=(str(folder), storage, when, look_seconds, meet))
        for when in dies
    ]
    for process in found:
        process.start()
    try:
        yield found
    finally:
        for process in found:
            process.kill()
            process.join()


def _work(
    folder: str, storage: str | None, dies: str | None, look_seconds: float, meet: Any
) -> None:
    import torch

    from jessl.core.log import Log
    from jessl.sweeps import worker
    from jessl.sweeps.study_state import begin

    torch.set_num_threads(1)
    worker._LOOK_SECONDS = look_seconds
    study = begin(folder, storage=storage, lease_seconds=LEASE_SECONDS)
    study.threads = 1
    if dies == TRAINING:
        _die_in_training()
    elif dies is not None:
        _die_at_end(study, dies)
    told: list[str] = []
    meet.wait()
    worker.Worker(study, Log(told.append), lambda: False).work()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_training() -> None:
    from jessl.training.step import Trainer

    step = Trainer.take_step

    def dying(self: Any, *args: Any, **named: Any) -> Any:
        terms = step(self, *args, **named)
        if self.step == 2:
            _die()
        return terms

    Trainer.take_step = dying  # type: ignore[method-assign]


def _die_at_end(study: Any, dies: str) -> None:
    end = study.ledger.end

    def dying(*args: Any) -> Any:
        if dies == ENDED:
            _die()
        _die_in_the_next_write(study.storage.backend)
        return end(*args)

    study.ledger.end = dying


def _die_in_the_next_write(storage: Any) -> None:
    engine = getattr(storage, "engine", None)
    if engine is not None:
        from sqlalchemy import event

        # the statements were sent, the end of the transaction was not
        event.listen(engine, "commit", lambda connection: _die())
        return
    backend = storage._backend

    def half(logs: list[dict[str, Any]]) -> None:
        import json

        line = json.dumps(logs[0], separators=(",", ":")).encode()
        assert backend._lock.acquire()
        with open(backend._file_path, "ab") as file:
            file.write(line[: len(line) // 2])
            file.flush()
            _die()

    backend.append_logs = half
