"""Trainings, and workers of studies, on a SLURM cluster, by submitit: submitted, stopped at a
step, requeued, resumed.

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
import shlex
import signal
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jessl.config import Pretrain, Sweep
from jessl.core.log import SILENT, log
from jessl.core.validation import check_choice, check_int, unknown_name

CLUSTERS = ("local", "slurm")
TEXTS = ("account", "cluster", "constraint", "name", "partition", "qos")
# whole numbers and the least they can be
NUMBERS = {
    "cpus_per_task": 1,
    "gpus_per_node": 0,
    "mem_gb": 1,
    "nodes": 1,
    "tasks_per_node": 1,
    "timeout_min": 1,
}

_TIMEOUT_MIN = 24 * 60
# threads that decode, beside the one that trains; SLURM gives a task one core unless it is asked
_CPUS_PER_TASK = 8
# times that a job may come back after its time was up; a training ends by itself
_MOST_TIMEOUTS = 100
# between the signal and the end: a step, the judgement of an epoch, and writing the checkpoint
_NOTICE_SECONDS = 300
# clusters that preempt by SIGTERM and SIGUSR2 send them one after the other, and not all
# processes of a job have them at the same moment
_BOTH_SIGNALS_SECONDS = 5.0
# below the ports that Linux gives to outgoing connections
_FIRST_PORT, _PORTS = 20_000, 12_000
_EXIT_SAVED = 75
_CANCEL = {"local": "kill", "slurm": "scancel"}

# a job on this machine is a child of this process: unreferenced, it would warn while it runs
_children: list[Any] = []


def submit(
    config: Pretrain, options: dict[str, str | int], *, folder: str | Path | None = None
) -> dict[str, str]:
    """Hand a training to a cluster; it is queued when this returns.

    Args:
        config: what to train. The run folder is chosen and made now where `out` is None: a job
            that comes back must find its run.
        options: of the job: partition, account, qos, constraint, name (that of the run), nodes
            (1), gpus_per_node (1; 0 with device "cpu"), tasks_per_node (a process a GPU, or 1),
            cpus_per_task (config.workers, or 8), timeout_min (minutes, a day), mem_gb, and
            cluster: "slurm", or "local" for processes on this machine.
        folder: of the logs, which all nodes must see; None: RUN-logs beside the run.

    Returns:
        job (its id), run and logs (folders), watch and cancel (commands).

    Raises:
        ValueError: for an option that does not exist or cannot be, a run folder that holds
            something else, where submitit is missing, or when the cluster refuses the job.
    """
    from jessl.pretraining.defaults import check_config

    check_config(config)  # what cannot be trained is not queued
    asked = _checked(options, config)
    _submitit()  # its absence is told before a folder is made
    out, made = _reserved(config)
    logs = (Path(folder) if folder is not None else out.with_name(f"{out.name}-logs")).absolute()
    if out in (logs, *logs.parents):
        raise ValueError(f"logs {logs} lie in the run folder; give a folder elsewhere")
    job = PretrainJob(dataclasses.replace(config, out=str(out), resume=True))
    try:
        sent = _sent(job, out.name, logs, asked)
    except ValueError:
        if made:
            out.rmdir()
        raise
    return {
        "job": sent.job_id,
        "run": str(out),
        "logs": str(logs),
        "watch": f"tail -F {shlex.quote(str(sent.paths.stdout))}",
        "cancel": f"{_CANCEL[asked['cluster']]} {sent.job_id}",
    }


def submit_sweep(
    asked: Sweep | None,
    folder: str | Path,
    options: dict[str, str | int],
    *,
    workers: int,
    storage: str | None,
    lease_seconds: float = 60.0,
) -> dict[str, Any]:
    """Hand workers of a study to a cluster; more can be submitted at any time.

    Args:
        asked: the study; None: the one in the folder, which all nodes must see.
        folder: of the study; logs go into a folder beside it, NAME-logs.
        options: of the jobs, as `submit`; each job is one worker with one process.
        workers: how many jobs, at least 1.
        storage: "journal:PATH" or a database; SQLite is for one machine, and refused on SLURM. It
            is in the files of the jobs: keep a password in ~/.pgpass, not in the address.
        lease_seconds: as `jessl.sweep`.

    Returns:
        jobs (their ids), study and logs (folders), watch and cancel (commands).

    Raises:
        ValueError: for a study that cannot be, and as `submit`.
    """
    from jessl.sweeps import manifest
    from jessl.sweeps.study_state import begin

    workers = check_int("jobs", workers, 1)
    given = (asked or manifest.stored_sweep(folder)).base
    wanted = _checked({"tasks_per_node": 1, **options}, given)
    if wanted["nodes"] * wanted["tasks_per_node"] > 1:
        raise ValueError("slurm options nodes, tasks_per_node: a worker is one process; give jobs")
    url = manifest.address(manifest.read(Path(folder)), storage)
    if wanted["cluster"] == "slurm" and (url is None or url.startswith("sqlite")):
        raise ValueError(
            "storage: many machines cannot write one SQLite file: give journal:PATH on a disk that "
            "all see, or postgresql://user@host/name"
        )
    _submitit()
    study = begin(folder, asked, storage=storage, lease_seconds=lease_seconds)
    path = study.folder.absolute()
    logs = path.with_name(f"{path.name}-logs")
    job = SweepJob(str(path), storage, lease_seconds)
    sent = [_sent(job, f"{path.name}-{k}", logs, wanted) for k in range(workers)]
    ids = [one.job_id for one in sent]
    return {
        "jobs": ids,
        "study": str(path),
        "logs": str(logs),
        "watch": f"tail -F {' '.join(shlex.quote(str(one.paths.stdout)) for one in sent)}",
        "cancel": f"{_CANCEL[wanted['cluster']]} {' '.join(ids)}",
    }


def _sent(job: Any, name: str, logs: Path, asked: dict[str, Any]) -> Any:
    """A job that is queued.

    Raises:
        ValueError: when the cluster takes none.
    """
    cluster = asked["cluster"]
    try:
        executor = _submitit().AutoExecutor(
            folder=logs, cluster=cluster, **{f"{cluster}_max_num_timeout": _MOST_TIMEOUTS}
        )
        executor.update_parameters(**_parameters({"name": name, **asked}))
        sent = executor.submit(job)
    except (RuntimeError, OSError) as error:  # no srun here; sbatch said no; no room for logs
        raise ValueError(f"{cluster} takes no job: {_last_line(error)}") from None
    if cluster == "local":
        _children.append(sent)
    return sent


class PretrainJob:
    """A training as submitit runs it, in every process of the job.

    Args:
        config: with `out` and `resume`, so that the job can come back to its run.
    """

    def __init__(self, config: Pretrain) -> None:
        self.config = config

    def __call__(self) -> str:
        """Train, resume or be done; the run folder comes back.

        Raises:
            SystemExit: as `_until_signalled`.
        """
        os.environ.update(meeting(_submitit().JobEnvironment()))
        run = _until_signalled(self._train)
        if _submitit().JobEnvironment().global_rank == 0:
            from jessl.report import write_report

            write_report(run.path)
        return str(run.path)

    def _train(self, stop: Callable[[], bool]) -> Any:
        from jessl.pretraining import pretrain

        return pretrain(self.config, stop=stop)

    def checkpoint(self) -> Any:
        """What submitit queues next: the same training, resumed."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(PretrainJob(dataclasses.replace(self.config, resume=True)))


class SweepJob:
    """A worker of a study as submitit runs it; it leaves when all runs have ended.

    Args:
        folder: of the study, begun; storage, lease_seconds: as `jessl.sweep`.
    """

    def __init__(self, folder: str, storage: str | None, lease_seconds: float) -> None:
        self.folder, self.storage, self.lease_seconds = folder, storage, lease_seconds

    def __call__(self) -> str:
        """Work; the study folder comes back.

        Raises:
            SystemExit: as `_until_signalled`.
        """
        _until_signalled(self._work)
        return self.folder

    def _work(self, stop: Callable[[], bool]) -> Any:
        from jessl.sweeps.sweep import sweep

        return sweep(
            None, self.folder, storage=self.storage, lease_seconds=self.lease_seconds, stop=stop
        )

    def checkpoint(self) -> Any:
        """What submitit queues next: another worker."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(SweepJob(self.folder, self.storage, self.lease_seconds))


def _until_signalled(work: Callable[[Callable[[], bool]], Any]) -> Any:
    """Do a job's work; a signal of the cluster ends it with its state saved.

    Args:
        work: takes a function that says whether to stop; raises Stopped when it did.

    Raises:
        SystemExit: when a signal stopped it: 75 when it stays saved, what submitit ends a requeued
            job with, 0 in processes but the first.
    """
    here = _submitit().JobEnvironment()
    requeue = getattr(signal, f"SIG{here.USR_SIG}")
    stop, back = threading.Event(), threading.Event()

    def ask(number: int, _frame: object) -> None:
        stop.set()
        if number == requeue:
            back.set()

    before: dict[int, Any] = {n: signal.signal(n, ask) for n in {signal.SIGTERM, requeue}}
    # after the handlers: this import takes seconds
    from jessl.core.interruption import Stopped

    try:
        return work(stop.is_set)
    except Stopped as stopped:
        if here.global_rank != 0:
            # the first process requeues the job, or its code is that of the job
            sys.exit(0)
        log.info(f"jessl: {stopped}")
        back.wait(_BOTH_SIGNALS_SECONDS)
        if not back.is_set() or not callable(before[requeue]):
            sys.exit(_EXIT_SAVED)
        before[requeue](requeue, None)  # writes the next submission, requeues and exits
        raise AssertionError("submitit's handler came back from requeuing") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def meeting(here: Any) -> dict[str, str]:
    """The variables by which the processes of a job find each other, as torchrun sets them.

    Args:
        here: submitit's JobEnvironment.
    """
    return {
        "RANK": str(here.global_rank),
        "WORLD_SIZE": str(here.num_tasks),
        "LOCAL_RANK": str(here.local_rank),
        # a machine does not always know its own name
        "MASTER_ADDR": here.hostnames[0] if here.num_nodes > 1 else "127.0.0.1",
        "MASTER_PORT": str(_FIRST_PORT + zlib.crc32(here.job_id.encode()) % _PORTS),
    }


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "launching on a cluster needs submitit: pip install 'jessl[slurm]'"
        ) from None
    return submitit


def _checked(options: dict[str, str | int], config: Pretrain) -> dict[str, Any]:
    """The options with what was left out, numbers as numbers."""
    asked: dict[str, Any] = {"cluster": "slurm", "nodes": 1, "timeout_min": _TIMEOUT_MIN}
    asked["gpus_per_node"] = 0 if config.device == "cpu" else 1
    asked["cpus_per_task"] = config.workers or _CPUS_PER_TASK
    for name, value in options.items():
        if name in NUMBERS:
            number = int(value) if isinstance(value, str) and value.isdecimal() else value
            asked[name] = check_int(f"slurm option {name}", number, NUMBERS[name])
        elif name in TEXTS:
            asked[name] = str(value)
        else:
            raise ValueError(unknown_name("slurm option", name, [*TEXTS, *NUMBERS]))
    check_choice("cluster", asked["cluster"], CLUSTERS)
    if asked["cluster"] == "local" and asked["nodes"] > 1:
        raise ValueError(f"cluster 'local' is this machine alone, got nodes {asked['nodes']}")
    return {"tasks_per_node": asked["gpus_per_node"] or 1, **asked}


def _reserved(config: Pretrain) -> tuple[Path, bool]:
    """The run folder, made now so that the next submission takes another, and whether it was."""
    from jessl.pretraining.run_folder import claim, out_folder
    from jessl.runs import Run

    out = out_folder(config).absolute()
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    claim(Run(out), config, SILENT)  # what the job would refuse is refused here
    return out, made


def _parameters(asked: dict[str, Any]) -> dict[str, Any]:
    """Options as submitit's executors name them."""
    asked = dict(asked)
    cluster = asked.pop("cluster")
    if asked["gpus_per_node"] == 0:
        del asked["gpus_per_node"]  # clusters without GPUs refuse to give none
    texts = {k: asked.pop(k) for k in ("partition", "account", "qos", "constraint") if k in asked}
    if cluster == "slurm":
        asked |= {f"slurm_{k}": v for k, v in texts.items()}
        asked["slurm_additional_parameters"] = {"requeue": True}
        asked["slurm_signal_delay_s"] = min(_NOTICE_SECONDS, 15 * asked["timeout_min"])
    return {**asked, "stderr_to_stdout": True}


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
