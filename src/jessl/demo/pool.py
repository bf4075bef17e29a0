"""Worker processes of the demo: they stop together and leave nobody behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from jessl.core.interruption import Stopped
from jessl.demo import tasks


class Pool:
    """Worker processes that stop together."""

    def __init__(self, executor: ProcessPoolExecutor, stop: Callable[[], bool]) -> None:
        self._executor = executor
        self._stop = stop

    def submit(self, task: Callable[..., Any], *args: Any) -> Future[Any]:
        """Hand a task to the next free worker."""
        return self._executor.submit(task, *args)

    def results(self, futures: Iterable[Future[Any]]) -> Iterator[Any]:
        """Results as they come.

        Raises:
            Stopped: when asked to stop, between two results.
        """
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            if waiting and self._stop():
                raise Stopped("stopped; what is done is saved")

    def result(self, future: Future[Any]) -> Any:
        """The result of one task."""
        return next(self.results([future]))


@contextmanager
def worker_pool(workers: int, stop: Callable[[], bool]) -> Iterator[Pool]:
    """A pool of `workers` processes; leaving the block stops and ends them.

    Raises:
        MemoryError: when a worker was killed from outside.
    """
    # spawn: a forked copy of a process that runs threads can hang
    context = get_context("spawn")
    stopping = context.Event()
    executor = ProcessPoolExecutor(
        workers, mp_context=context, initializer=tasks.start_worker, initargs=(stopping,)
    )
    try:
        yield Pool(executor, stop)
    except BrokenProcessPool:
        raise MemoryError(
            "a worker process was killed, perhaps for its memory: the same command goes on; "
            "--workers 1 takes less"
        ) from None
    finally:
        # after an error too: runs under way save themselves, what has not begun is dropped
        stopping.set()
        executor.shutdown(wait=True, cancel_futures=True)
