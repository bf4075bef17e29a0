"""Trainings and workers as submitit runs them: stopped by a signal, requeued, resumed.

What a cluster does to a job, and what follows here:

- Its time is up: SLURM sends the signal that submitit asked for (SIGUSR2) some minutes before. The
  training saves its state between two steps, and only then submitit's own handler requeues the job.
- It is preempted or cancelled: SLURM sends SIGTERM, and requeues it itself when it was preempted.
  The state is saved and the job ends with code 75. It does not requeue itself: a job that its user
  cancels must not come back.

Either way the job that comes next resumes, since every job is submitted with `resume`.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from jessl.config import Compare, Embed, Pretrain
from jessl.core.log import log

if TYPE_CHECKING:
    from jessl.runs import Run

T = TypeVar("T")

# clusters that preempt by SIGTERM and SIGUSR2 send them one after the other, and not all
# processes of a job have them at the same moment
_BOTH_SIGNALS_SECONDS = 5.0
# below the ports that Linux gives to outgoing connections
_FIRST_PORT, _PORTS = 20_000, 12_000
_EXIT_SAVED = 75


class JobEnvironment(Protocol):
    """The part of submitit's JobEnvironment that is used here."""

    job_id: str
    num_tasks: int
    num_nodes: int
    global_rank: int
    local_rank: int
    hostnames: list[str]


def import_submitit() -> Any:
    """The module submitit, which is an extra.

    Raises:
        ValueError: where it is not installed.
    """
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "launching on a cluster needs submitit: pip install 'jessl[slurm]'"
        ) from None
    return submitit


class PretrainJob:
    """A training as submitit runs it, in every process of the job.

    Args:
        config: with `out` and `resume`, so that the job can come back to its run.
    """

    def __init__(self, config: Pretrain) -> None:
        self.config = config

    def __call__(self) -> str:
        """Train or resume, and return the run folder.

        Raises:
            SystemExit: as `_until_signalled`.
        """
        os.environ.update(rendezvous(import_submitit().JobEnvironment()))
        run = _until_signalled(self._train)
        if import_submitit().JobEnvironment().global_rank == 0:
            from jessl.report import write_report

            write_report(run.path)
        return str(run.path)

    def _train(self, stop: Callable[[], bool]) -> Run:
        from jessl.pretraining import pretrain

        return pretrain(self.config, stop=stop)

    def checkpoint(self) -> object:
        """What submitit queues next: the same training, resumed."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(PretrainJob(dataclasses.replace(self.config, resume=True)))


class SweepJob:
    """A worker of a study as submitit runs it; it ends when all runs have ended.

    Args:
        folder: of the study, begun; storage, lease_seconds: as `jessl.sweep`.
    """

    def __init__(self, folder: str, storage: str | None, lease_seconds: float) -> None:
        self.folder, self.storage, self.lease_seconds = folder, storage, lease_seconds

    def __call__(self) -> str:
        """Work, and return the study folder.

        Raises:
            SystemExit: as `_until_signalled`.
        """
        _until_signalled(self._work)
        return self.folder

    def _work(self, stop: Callable[[], bool]) -> object:
        from jessl.sweeps.sweep import sweep

        return sweep(
            None, self.folder, storage=self.storage, lease_seconds=self.lease_seconds, stop=stop
        )

    def checkpoint(self) -> object:
        """What submitit queues next: another worker."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(SweepJob(self.folder, self.storage, self.lease_seconds))


class EmbedJob:
    """An embedding as submitit runs it, in every process of the job.

    Args:
        config: with `out`, where finished parts wait for the job to come back.
        keys: names of the images and labels in an .npz file: x_key, y_key.
    """

    def __init__(self, config: Embed, keys: dict[str, str | None]) -> None:
        self.config, self.keys = config, keys

    def __call__(self) -> str:
        """Embed, or go on, and return the folder of the embeddings.

        Raises:
            SystemExit: as `_until_signalled`.
        """
        os.environ.update(rendezvous(import_submitit().JobEnvironment()))
        _until_signalled(self._embed)
        return str(self.config.out)

    def _embed(self, stop: Callable[[], bool]) -> object:
        from jessl.core.log import is_first_process
        from jessl.core.progress import ProgressBar
        from jessl.data import open_source
        from jessl.extraction.embed import embed

        c = self.config
        with ProgressBar("embedding", unit="images", quiet=not is_first_process()) as bar:
            source = open_source(
                c.data,
                labels=c.labels,
                groups=c.groups,
                bits=c.bits,
                value_range=c.value_range,
                x_key=self.keys["x_key"],
                y_key=self.keys["y_key"],
            )
            already = dict.fromkeys(("labels", "groups", "bits", "value_range"))
            return embed(c, source=source, **already, progress=bar.update, stop=stop)

    def checkpoint(self) -> object:
        """What submitit queues next: the same embedding, which goes on from its parts."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(EmbedJob(self.config, self.keys))


class CompareJob:
    """A comparison of encoders as submitit runs it, in one process; its folder lets it go on."""

    def __init__(self, config: Compare) -> None:
        self.config = config

    def __call__(self) -> str:
        """Compare, or go on, and return the path of the page.

        Raises:
            SystemExit: as `_until_signalled`.
        """
        from jessl.comparison.page.page import write_encoders_page

        _until_signalled(self._compare)
        return str(write_encoders_page(self.config.out))

    def _compare(self, stop: Callable[[], bool]) -> object:
        from jessl.comparison.compare import compare_encoders

        return compare_encoders(self.config, stop=stop)

    def checkpoint(self) -> object:
        """What submitit queues next: the same comparison."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(CompareJob(self.config))


def _until_signalled(work: Callable[[Callable[[], bool]], T]) -> T:
    """Do the work of a job; a signal of the cluster ends it with its state saved.

    Args:
        work: called with a function that returns True when it must stop; raises Stopped then.

    Raises:
        SystemExit: when a signal stopped it: with 75 when it is not requeued, with the code of
            submitit when it is, with 0 in all processes but the first.
    """
    environment = import_submitit().JobEnvironment()
    requeue_signal = getattr(signal, f"SIG{environment.USR_SIG}")
    stop, requeue = threading.Event(), threading.Event()

    def handle(number: int, _frame: object) -> None:
        stop.set()
        if number == requeue_signal:
            requeue.set()

    before: dict[int, Any] = {n: signal.signal(n, handle) for n in {signal.SIGTERM, requeue_signal}}
    # after the handlers: this import takes seconds
    from jessl.core.interruption import Stopped

    try:
        return work(stop.is_set)
    except Stopped as stopped:
        if environment.global_rank != 0:
            # the first process requeues the job, or its code is that of the job
            sys.exit(0)
        log.info(f"jessl: {stopped}")
        requeue.wait(_BOTH_SIGNALS_SECONDS)
        if not requeue.is_set() or not callable(before[requeue_signal]):
            sys.exit(_EXIT_SAVED)
        # submitit's handler writes the next submission, requeues and exits
        before[requeue_signal](requeue_signal, None)
        raise AssertionError("submitit's handler came back from requeuing") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def rendezvous(environment: JobEnvironment) -> dict[str, str]:
    """Variables by which the processes of a job find each other, as torchrun sets them."""
    return {
        "RANK": str(environment.global_rank),
        "WORLD_SIZE": str(environment.num_tasks),
        "LOCAL_RANK": str(environment.local_rank),
        # a machine does not always know its own name
        "MASTER_ADDR": environment.hostnames[0] if environment.num_nodes > 1 else "127.0.0.1",
        "MASTER_PORT": str(_FIRST_PORT + zlib.crc32(environment.job_id.encode()) % _PORTS),
    }
