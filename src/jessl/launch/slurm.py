"""Submitting work to a SLURM cluster by submitit: trainings, embeddings, comparisons, studies."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from jessl.config import Compare, Embed, Pretrain, Sweep
from jessl.core.deprecation import renamed_arguments
from jessl.core.log import SILENT
from jessl.core.validation import check_int
from jessl.launch.job_options import JobOptions
from jessl.launch.jobs import CompareJob, EmbedJob, PretrainJob, SweepJob, import_submitit

# times that a job may come back after its time was up; a training ends by itself
_MOST_TIMEOUTS = 100
_CANCEL = {"local": "kill", "slurm": "scancel"}

# a job on this machine is a child of this process: unreferenced, it would warn while it runs
_children: list[object] = []


def submit(
    config: Pretrain, options: dict[str, str | int], *, folder: str | Path | None = None
) -> dict[str, str]:
    """Submit a training to a cluster; it is queued when this returns.

    Args:
        config: what to train. The run folder is chosen and created now where `out` is None: a job
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
    job_options = JobOptions.parse(options, config)
    import_submitit()  # raises, where it is missing, before a folder is created
    out, created = _reserve_run(config)
    logs = (Path(folder) if folder is not None else out.with_name(f"{out.name}-logs")).absolute()
    if out in (logs, *logs.parents):
        raise ValueError(f"logs {logs} lie in the run folder; give a folder elsewhere")
    job = PretrainJob(dataclasses.replace(config, out=str(out), resume=True))
    try:
        queued = _queue(job, out.name, logs, job_options)
    except ValueError:
        if created:
            out.rmdir()
        raise
    return {"run": str(out), **_described(queued, logs, job_options)}


@renamed_arguments(asked="config")
def submit_sweep(
    config: Sweep | None,
    folder: str | Path,
    options: dict[str, str | int],
    *,
    workers: int,
    storage: str | None,
    lease_seconds: float = 60.0,
) -> dict[str, object]:
    """Submit workers of a study to a cluster; more can be submitted at any time.

    Args:
        config: the study; None: the one in the folder, which all nodes must see.
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
    base = (config or manifest.stored_sweep(folder)).base
    job_options = JobOptions.parse({"tasks_per_node": 1, **options}, base)
    if job_options.numbers["nodes"] * job_options.numbers["tasks_per_node"] > 1:
        raise ValueError("slurm options nodes, tasks_per_node: a worker is one process; give jobs")
    url = manifest.address(Path(folder), manifest.read(Path(folder)), storage)
    if job_options.cluster == "slurm" and (url is None or url.startswith("sqlite")):
        raise ValueError(
            "storage: many machines cannot write one SQLite file: give journal:PATH on a disk that "
            "all see, or postgresql://user@host/name"
        )
    import_submitit()
    study = begin(folder, config, storage=storage, lease_seconds=lease_seconds)
    path = study.folder.absolute()
    logs = path.with_name(f"{path.name}-logs")
    job = SweepJob(str(path), storage, lease_seconds)
    queued = [_queue(job, f"{path.name}-{k}", logs, job_options) for k in range(workers)]
    ids = [one.job_id for one in queued]
    return {
        "jobs": ids,
        "study": str(path),
        "logs": str(logs),
        "watch": f"tail -F {' '.join(shlex.quote(str(one.paths.stdout)) for one in queued)}",
        "cancel": f"{_CANCEL[job_options.cluster]} {' '.join(ids)}",
    }


def submit_embed(
    config: Embed,
    options: dict[str, str | int],
    *,
    x_key: str | None = None,
    y_key: str | None = None,
) -> dict[str, str]:
    """Submit an embedding to a cluster; every process of the job embeds a share.

    Args:
        config: with `out`, on a disk that all nodes see, as the data.
        options: of the job, as `submit`.
        x_key, y_key: names of the images and of the labels in an .npz file.

    Returns:
        job (its id), out and logs (folders), watch and cancel (commands).

    Raises:
        ValueError: where `out` is missing or holds something else, and as `submit`.

    Example:
        submit_embed(jessl.Embed(encoder="run", data="photos", out="/shared/emb"), {"nodes": 2})
    """
    from jessl.extraction.embed_to_folder import check_out

    if config.out is None:
        raise ValueError("out: expected a folder that all nodes see, got none")
    out = Path(config.out).absolute()
    check_out(out, config.layers)
    job = EmbedJob(dataclasses.replace(config, out=str(out)), {"x_key": x_key, "y_key": y_key})
    return _submit_to(out, job, JobOptions.parse(options, config))


def submit_compare(config: Compare, options: dict[str, str | int]) -> dict[str, str]:
    """Submit a comparison of encoders to a cluster, as a job of one process.

    Args:
        config: its folder `out` on a disk that all nodes see, as the data.
        options: of the job, as `submit`; nodes and tasks_per_node are 1.

    Returns:
        job (its id), out and logs (folders), watch and cancel (commands).

    Raises:
        ValueError: for several processes, and as `submit`.
    """
    job_options = JobOptions.parse({"tasks_per_node": 1, **options}, config)
    if job_options.numbers["nodes"] * job_options.numbers["tasks_per_node"] > 1:
        raise ValueError("slurm options nodes, tasks_per_node: a comparison is one process")
    out = Path(config.out).absolute()
    return _submit_to(out, CompareJob(dataclasses.replace(config, out=str(out))), job_options)


def _submit_to(out: Path, job: EmbedJob | CompareJob, options: JobOptions) -> dict[str, str]:
    import_submitit()
    logs = out.with_name(f"{out.name}-logs")
    queued = _queue(job, out.name, logs, options)
    return {"out": str(out), **_described(queued, logs, options)}


def _described(queued: Any, logs: Path, options: JobOptions) -> dict[str, str]:
    """The number of a job, its logs, and the commands that watch and cancel it."""
    return {
        "job": queued.job_id,
        "logs": str(logs),
        "watch": f"tail -F {shlex.quote(str(queued.paths.stdout))}",
        "cancel": f"{_CANCEL[options.cluster]} {queued.job_id}",
    }


def _queue(
    job: PretrainJob | SweepJob | EmbedJob | CompareJob, name: str, logs: Path, options: JobOptions
) -> Any:
    """Queue a job, and return it as submitit does.

    Raises:
        ValueError: when the cluster refuses it.
    """
    cluster = options.cluster
    try:
        executor = import_submitit().AutoExecutor(
            folder=logs, cluster=cluster, **{f"{cluster}_max_num_timeout": _MOST_TIMEOUTS}
        )
        executor.update_parameters(**options.submitit_parameters(name))
        queued = executor.submit(job)
    except (RuntimeError, OSError) as error:  # no srun here; sbatch refused; no room for logs
        raise ValueError(f"{cluster} takes no job: {_last_line(error)}") from None
    if cluster == "local":
        _children.append(queued)
    return queued


def _reserve_run(config: Pretrain) -> tuple[Path, bool]:
    """(run folder, whether it is new): created now, so that the next submission takes another."""
    from jessl.pretraining.run_folder import claim, out_folder
    from jessl.runs import Run

    out = out_folder(config).absolute()
    created = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    claim(Run(out), config, SILENT)  # what the job would refuse is refused here
    return out, created


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
