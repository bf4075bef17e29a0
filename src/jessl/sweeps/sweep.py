"""The verb `sweep`: begin a study or join it, work on it, and choose without labels."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context, parent_process
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from jessl.config import Sweep
from jessl.core.deprecation import renamed_arguments
from jessl.core.extensions import Extensions, is_outside
from jessl.core.interruption import Stopped
from jessl.core.log import Log, log
from jessl.core.processes import check_main_guard
from jessl.core.resources import usable_cores
from jessl.core.validation import check_int
from jessl.encoders.outside import ENCODERS, is_known_outside
from jessl.objectives import OBJECTIVES
from jessl.sweeps.coordination import MOST_LOST, Unit
from jessl.sweeps.results import SweepResult, summarize
from jessl.sweeps.study_state import LEASE_SECONDS, Sources, Study, begin
from jessl.sweeps.worker import Worker

_LOOK_SECONDS = 0.5


@renamed_arguments(asked="config", tell="log")
def sweep(
    config: Sweep | None,
    out: str | Path,
    *,
    storage: str | None = None,
    jobs: int = 1,
    lease_seconds: float = LEASE_SECONDS,
    sources: Callable[[], Sources] | None = None,
    log: Log = log,
    stop: Callable[[], bool] = lambda: False,
) -> SweepResult:
    """Work on a study until all its runs have ended; then choose.

    Called again it continues; called at the same time from elsewhere it shares the work.

    Args:
        config: the study; None: the one that is in the folder.
        out: its folder. Machines that share it continue each other's runs.
        storage: None (an SQLite file in the folder: for the processes of one machine),
            "journal:PATH" (a file on a shared disk) or a database, postgresql://user@host/name.
        jobs: processes here, which share the cores. In a script the call stands under
            `if __name__ == "__main__":`, for each process imports the script.
        lease_seconds: a worker that is silent for so long counts as gone, and its run is tried
            again.
        sources: opens the images, and labelled ones of the closing check or None, in place of the
            `data` and `test` of the study; for images that no SRC names. A function that pickle
            can send to other processes, such as functools.partial of a function of a module.
        log: lines on the progress.
        stop: True saves the runs under way and raises Stopped.

    Returns:
        The choice and its reasons, which study.json in the folder holds as well.

    Raises:
        ValueError: for an impossible study (see `begin`), workers that are killed again and again,
            and `jobs` above 1 in a script without `if __name__ == "__main__":` around the call.
        Stopped: when `stop` returned True; the same call continues.
    """
    jobs = check_int("jobs", jobs, 1)
    if jobs > 1:
        check_main_guard(f"sweep with jobs={jobs}")
        _check_shared(config)
    began = time.monotonic()
    study = begin(out, config, storage=storage, lease_seconds=lease_seconds, sources=sources)
    log.info(_announcement(study, jobs))
    tested = () if study.test is None else study.test.notes
    for note in dict.fromkeys((*study.source.notes, *tested)):
        log.note(note)
    if study.plan.config.prune:
        log.info(_pruning_line(study))
    outside = _imported_by_workers(study.plan.config)
    if outside:
        log.note(f"the workers import {', '.join(outside)}, which the study names")
    if jobs == 1:
        Worker(study, log, stop).work()
    else:
        _together(study, storage, sources, jobs, log, stop)
    if stop():
        raise Stopped(f"stopped; what is done is saved in {study.folder}")
    return summarize(study, seconds=time.monotonic() - began)


def _named_code(config: Sweep) -> list[tuple[Extensions[Any], str]]:
    """(kind, name) of the objectives and encoders that a study may take from outside jessl."""
    space = config.space if isinstance(config.space, Mapping) else {}
    named: list[tuple[Extensions[Any], str]] = []
    for field, kind in (("objective", OBJECTIVES), ("encoder", ENCODERS), ("teacher", ENCODERS)):
        listed = space.get(field)
        names = listed if isinstance(listed, list | tuple) else [getattr(config.base, field)]
        named += [(kind, name) for name in dict.fromkeys(names) if isinstance(name, str)]
    return named


def _imported_by_workers(config: Sweep) -> list[str]:
    return [
        name
        for kind, name in _named_code(config)
        if is_outside(name) and (kind is OBJECTIVES or is_known_outside(name))
    ]


def _check_shared(config: Sweep | None) -> None:
    """Refuse code that only this process has: a notebook is no module to import."""
    for kind, name in [] if config is None else _named_code(config):
        member = kind.find_if_known(name)
        if getattr(member, "__module__", None) == "__main__" and not _has_script():
            raise ValueError(
                f"{kind.kind} {name}: expected one of a file, which the workers can import, got "
                f"one of this notebook; write it to a file, such as my_code.py, and give "
                f"my_code:{getattr(member, '__name__', 'NAME')}"
            )


def _has_script() -> bool:
    """Whether workers run the file of the main module again."""
    return getattr(sys.modules["__main__"], "__file__", None) is not None


def _announcement(study: Study, jobs: int) -> str:
    plan = study.plan
    ended = len(study.ended())
    fields = ", ".join(plan.space)
    return (
        f"study     {study.folder}: {plan.trials} settings of {fields} ({plan.sampler}), "
        f"{len(plan.config.seeds)} seeds each, {study.count()} runs"
        + (f", {ended} of them ended before" if ended else "")
        + f"; {study.storage.shown}; {jobs} at a time"
    )


def _pruning_line(study: Study) -> str:
    """When runs are compared and stopped.

    Raises:
        ValueError: where that would be never.
    """
    one = next(iter(study.plan.settings), {})
    stops = study.rungs(Unit(one, study.plan.config.seeds[0]))
    if not stops:
        raise ValueError(
            "prune: no run could be stopped: the first comparison would be at its end; take fewer "
            "grace_epochs, more epochs, or a smaller evaluate_epochs in the base (not 0)"
        )
    share = study.plan.config.keep_share
    epochs = ", ".join(map(str, stops))
    return f"pruning   after epoch {epochs}: the best {share:.0%} of those that got there continue"


def _together(
    study: Study,
    storage: str | None,
    sources: Callable[[], Sources] | None,
    jobs: int,
    log: Log,
    stop: Callable[[], bool],
) -> None:
    """Work in several processes; one that is killed is replaced while there is something to do."""
    from jessl.views.kernels import compiled

    compiled()  # once here, not in each worker at the same time
    # spawn: a forked copy of a process that runs threads can hang
    context = get_context("spawn")
    stopping = context.Event()
    failures = context.SimpleQueue()
    threads = max(1, usable_cores() // jobs)
    options = (storage, study.lease_seconds, sources, threads)
    worker = (str(study.folder), *options, stopping, failures)

    def start() -> SpawnProcess:
        process = context.Process(target=_process, args=worker)
        process.start()
        return process

    running = [start() for _ in range(jobs)]
    killed = ended = 0
    try:
        while running:
            time.sleep(_LOOK_SECONDS)
            if stop():
                stopping.set()
            for process in [p for p in running if not p.is_alive()]:
                running.remove(process)
                if not failures.empty():  # a disk or a storage, which all workers need
                    raise failures.get()
                if process.exitcode == 0 or stopping.is_set():
                    continue
                study.ledger.refresh()
                before, ended = ended, len(study.ended())
                killed = 1 if ended > before else killed + 1
                if killed > max(2 * jobs, MOST_LOST):
                    raise ValueError(
                        f"worker processes ended {killed} times (last with code "
                        f"{process.exitcode}) while no run did, perhaps for their memory: take "
                        "fewer --jobs; the same command continues"
                    )
                log.note(f"a worker ended with code {process.exitcode}; another takes over")
                running.append(start())
    finally:
        stopping.set()
        for process in running:
            process.join()


def _process(
    folder: str,
    storage: str | None,
    lease_seconds: float,
    sources: Callable[[], Sources] | None,
    threads: int,
    stopping: Event,
    failures: SimpleQueue[Exception],
) -> None:
    """A worker process: the study of the folder, with its share of the cores.

    An error of a disk or a storage goes to the parent, which raises it.

    The limit holds for BLAS and OpenMP too: their threads wait by spinning, and a probe beside
    another worker's took 38 s instead of .5 s on two cores. What is not loaded cannot be limited,
    so the libraries are loaded first.
    """
    import sklearn.linear_model  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    # Ctrl-C reaches all processes of a terminal; the parent asks the workers to stop in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    try:
        study = begin(folder, storage=storage, lease_seconds=lease_seconds, sources=sources)
        study.threads = threads
        Worker(study, Log(), stopping.is_set).work()
    except OSError as error:
        failures.put(OSError(error.errno, error.strerror or str(error), error.filename))
    except ValueError as error:
        failures.put(ValueError(str(error)))


def _leave_with_parent() -> None:
    """A killed parent cannot end its workers: they watch it. Checkpoints keep what was done."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
