"""Launching: what SLURM is told, and a job that is stopped, comes back and ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.run_samples import small_config
from jessl import Pretrain, Run, pretraining
from jessl.launch import jobs as launch_jobs
from jessl.launch import slurm as launch
from jessl.launch.jobs import PretrainJob, rendezvous
from jessl.launch.slurm import submit
from jessl.training import checkpoint

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'jessl[slurm]'")


def _until(done: Callable[[], object], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = place.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(after_name[1]) == pid:
            found.append(int(place.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.usefixtures("fast_tasks")
def test_a_job_whose_time_is_up_comes_back_and_ends(stripes: Path, tmp_path: Path) -> None:
    config = small_config(stripes, tmp_path / "run", epochs=20, evaluate_epochs=0, device="cpu")
    sent = submit(config, {"cluster": "local", "tasks_per_node": 2})
    job = launch._children.pop()
    run = Run(Path(sent["run"]))
    try:
        _until(lambda: run.checkpoints.exists() and checkpoint.steps(run.checkpoints))
        for pid in _children(int(sent["job"])):
            os.kill(pid, signal.SIGUSR2)
        _until(lambda: job._process.poll() is not None)
    finally:
        for pid in [*_children(job._process.pid), job._process.pid]:
            if job._process.poll() is None:
                os.kill(pid, signal.SIGKILL)
        job._process.wait()
    log = Path(job.paths.stdout).read_text()
    assert sent["watch"] == f"tail -F {job.paths.stdout}"
    assert Path(sent["logs"]) == tmp_path / "run-logs"
    assert "jessl: stopped at step" in log
    assert "Requeued job" in log
    assert ", resumed at step" in log
    assert run.finished()
    assert run.facts()["processes"] == 2
    assert (run.path / "report.html").exists()
    assert job.results() == [str(run.path)] * 2
    steps = [r.step for r in run.records() if r.name == "loss"]
    assert steps == list(range(1, 20 * 6 + 1))


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment of the only process of a job on this machine."""
    for name, value in {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_JOB_ID": "7",
        "SUBMITIT_FOLDER": str(tmp_path),
        "RANK": "",
        "WORLD_SIZE": "",
        "LOCAL_RANK": "",
        "MASTER_ADDR": "",
        "MASTER_PORT": "",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def _stopped_by(monkeypatch: pytest.MonkeyPatch, *signals: int) -> None:
    """Let the training send itself signals when it asks for the third time whether to stop."""
    real = pretraining.pretrain

    def pretrain(config: Pretrain, *, stop: Callable[[], bool]) -> Run:
        asked = []

        def asking() -> bool:
            asked.append(1)
            if len(asked) == 3:
                for number in signals:
                    os.kill(os.getpid(), number)
            return stop()

        return real(config, quiet=True, stop=asking)

    monkeypatch.setattr(pretraining, "pretrain", pretrain)
    monkeypatch.setattr(launch_jobs, "_BOTH_SIGNALS_SECONDS", 0.1)


def _handlers() -> list[Any]:
    return [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR2)]


def test_a_job_that_is_cancelled_saves_and_stays_away(
    stripes: Path, tmp_path: Path, inside: pytest.MonkeyPatch
) -> None:
    _stopped_by(inside, signal.SIGTERM)
    before = _handlers()
    config = small_config(stripes, tmp_path / "run", device="cpu")
    with pytest.raises(SystemExit) as ended:
        PretrainJob(config)()
    assert ended.value.code == 75
    assert checkpoint.steps(Run(tmp_path / "run").checkpoints)[-1][0] == 3
    assert _handlers() == before


@pytest.mark.parametrize(
    "signals", [(signal.SIGUSR2,), (signal.SIGTERM, signal.SIGUSR2)], ids=["time", "preempted"]
)
def test_requeuing_follows_saving(
    stripes: Path, tmp_path: Path, inside: pytest.MonkeyPatch, signals: tuple[int, ...]
) -> None:
    _stopped_by(inside, *signals)
    run = Run(tmp_path / "run")
    saved = []

    def submitits(number: int, _frame: object) -> None:
        assert number == signal.SIGUSR2
        saved.append(checkpoint.steps(run.checkpoints)[-1][0])
        sys.exit(144)

    original = signal.signal(signal.SIGUSR2, submitits)
    try:
        with pytest.raises(SystemExit) as ended:
            PretrainJob(small_config(stripes, run.path, device="cpu"))()
        assert signal.getsignal(signal.SIGUSR2) is submitits
    finally:
        signal.signal(signal.SIGUSR2, original)
    assert ended.value.code == 144
    assert saved == [3]


def test_only_the_first_process_requeues(
    stripes: Path, tmp_path: Path, inside: pytest.MonkeyPatch
) -> None:
    _stopped_by(inside, signal.SIGUSR2)
    inside.setenv("SUBMITIT_LOCAL_GLOBALID", "1")
    original = signal.signal(signal.SIGUSR2, lambda *_: pytest.fail("it requeues"))
    try:
        with pytest.raises(SystemExit) as ended:
            PretrainJob(small_config(stripes, tmp_path / "run", device="cpu"))()
    finally:
        signal.signal(signal.SIGUSR2, original)
    assert ended.value.code == 0


def test_what_comes_back_resumes() -> None:
    next_one = PretrainJob(Pretrain(data="x", out="run")).checkpoint()
    assert next_one.function.config == Pretrain(data="x", out="run", resume=True)


def _here(**changes: Any) -> Any:
    values = {"global_rank": 5, "num_tasks": 8, "local_rank": 1, "num_nodes": 2, "job_id": "4711"}
    return SimpleNamespace(**{**values, "hostnames": ["node3", "node7"], **changes})


def test_how_the_processes_meet() -> None:
    told = rendezvous(_here())
    port = int(told.pop("MASTER_PORT"))
    assert told == {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "node3",
    }
    assert 20_000 <= port < 32_000
    assert rendezvous(_here(global_rank=0))["MASTER_PORT"] == str(port)
    assert rendezvous(_here(job_id="4712"))["MASTER_PORT"] != str(port)
    assert rendezvous(_here(num_nodes=1))["MASTER_ADDR"] == "127.0.0.1"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with SLURM's commands, which take every job and give it the number 42."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, body in {"sbatch": "echo Submitted batch job 42", "srun": "exit 1"}.items():
        (binaries / name).write_text(f"#!/bin/sh\n{body}\n")
        (binaries / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return binaries


def _sbatch(sent: dict[str, str]) -> set[str]:
    (script,) = Path(sent["logs"]).glob("*submission.sh")
    return {line for line in script.read_text().splitlines() if line.startswith("#SBATCH")}


def test_what_slurm_is_told(cluster: Path, tmp_path: Path) -> None:
    options = {"partition": "gpu", "nodes": "2", "gpus_per_node": 4, "qos": "long", "mem_gb": 64}
    config = Pretrain(data="digits", out="runs/mine", workers=6)
    sent = submit(config, {**options, "timeout_min": "60", "account": 123})
    assert sent["job"] == "42"
    assert sent["run"] == str(tmp_path / "runs" / "mine")
    assert sent["logs"] == str(tmp_path / "runs" / "mine-logs")
    assert sent["watch"] == f"tail -F {sent['logs']}/42_0_log.out"
    assert sent["cancel"] == "scancel 42"
    assert {
        "#SBATCH --partition=gpu",
        "#SBATCH --nodes=2",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --cpus-per-task=6",
        "#SBATCH --qos=long",
        "#SBATCH --account=123",
        "#SBATCH --mem=64GB",
        "#SBATCH --time=60",
        "#SBATCH --signal=USR2@300",
        "#SBATCH --job-name=mine",
        "#SBATCH --requeue",
    } <= _sbatch(sent)


def test_defaults_of_a_job(cluster: Path) -> None:
    told = _sbatch(submit(Pretrain(data="digits", out="a"), {}))
    assert {"#SBATCH --gpus-per-node=1", "#SBATCH --ntasks-per-node=1"} <= told
    assert {"#SBATCH --nodes=1", "#SBATCH --time=1440", "#SBATCH --cpus-per-task=8"} <= told
    told = _sbatch(submit(Pretrain(data="digits", out="b", device="cpu"), {"timeout_min": 4}))
    assert not any("gpus" in line for line in told)
    assert {"#SBATCH --ntasks-per-node=1", "#SBATCH --signal=USR2@60"} <= told


def test_every_submission_has_a_run_of_its_own(cluster: Path, tmp_path: Path) -> None:
    config = Pretrain(data="digits")
    runs = [submit(config, {}, folder=tmp_path / f"logs-{k}")["run"] for k in (1, 2)]
    assert runs == [str(tmp_path / "runs" / f"vicreg-{k}") for k in (1, 2)]


def test_a_run_that_is_there_is_not_taken_by_accident(
    cluster: Path, finished: Run, stripes: Path, tmp_path: Path
) -> None:
    config = small_config(stripes, finished.path)
    with pytest.raises(ValueError, match="holds a run already; add --resume"):
        submit(config, {}, folder=tmp_path / "logs")
    resumed = small_config(stripes, finished.path, resume=True)
    assert submit(resumed, {}, folder=tmp_path / "logs")["job"] == "42"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"partitions": "gpu"}, "unknown slurm option 'partitions'; did you mean 'partition'"),
        ({"nodes": "two"}, "slurm option nodes: expected a whole number of at least 1, got 'two'"),
        ({"nodes": 0}, "slurm option nodes: expected a whole number of at least 1, got 0"),
        ({"cluster": "pbs"}, "unknown cluster 'pbs'. Allowed: local, slurm"),
        ({"cluster": "local", "nodes": 2}, "cluster 'local' is this machine alone, got nodes 2"),
    ],
)
def test_options_that_cannot_be(
    options: dict[str, str | int], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=line):
        submit(Pretrain(data="digits"), options)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_job_is_one_line_and_leaves_no_run(cluster: Path, tmp_path: Path) -> None:
    (cluster / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: no such partition' >&2\nexit 1\n"
    )
    with pytest.raises(ValueError, match=r"slurm takes no job: sbatch: error: no such partition$"):
        submit(Pretrain(data="digits", out="runs/mine"), {})
    assert not (tmp_path / "runs" / "mine").exists()


def test_no_slurm_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match='slurm takes no job: Could not detect "srun"'):
        submit(Pretrain(data="digits", out=str(tmp_path / "run")), {})
    assert not (tmp_path / "run").exists()


def test_logs_are_not_in_the_run(cluster: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lie in the run folder"):
        submit(Pretrain(data="digits", out="run"), {}, folder="run/logs")


def test_without_submitit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match=r"needs submitit: pip install 'jessl\[slurm\]'$"):
        submit(Pretrain(data="digits", out=str(tmp_path / "run")), {})
    assert list(tmp_path.iterdir()) == []


def test_importing_costs_nothing() -> None:
    code = "import sys, jessl.launch; print({'torch', 'submitit'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
