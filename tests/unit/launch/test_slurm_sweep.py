"""Workers of a study as jobs: submitted, and all runs end."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest

from helpers.run_samples import small_config
from jessl import Sweep
from jessl.launch import slurm as launch
from jessl.launch.slurm import submit_sweep
from jessl.sweeps.study_state import begin

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'jessl[slurm]'")


def _asked(stripes: Path) -> Sweep:
    base = small_config(stripes, Path("unused"), epochs=1, evaluate_epochs=0, device="cpu")
    base = dataclasses.replace(base, out=None)
    return Sweep(base=base, space={"lr": [1e-3, 2e-3, 4e-3]}, seeds=(0,))


@pytest.mark.usefixtures("fast_tasks")
def test_two_jobs_share_a_study(stripes: Path, tmp_path: Path) -> None:
    log = f"journal:{tmp_path}/log"
    out = tmp_path / "study"
    sent = submit_sweep(_asked(stripes), out, {"cluster": "local"}, workers=2, storage=log)
    jobs = [launch._children.pop() for _ in range(2)]
    end = time.monotonic() + 240
    try:
        while any(job._process.poll() is None for job in jobs):
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.1)
    finally:
        for job in jobs:
            if job._process.poll() is None:
                job._process.kill()
            job._process.wait()
    assert {job.job_id for job in jobs} == set(sent["jobs"])
    assert sent["cancel"].split() == ["kill", *sent["jobs"]]
    assert Path(sent["logs"]) == tmp_path / "study-logs"
    assert [job.results() for job in jobs] == [[str(out)], [str(out)]]
    told = json.loads((out / "study.json").read_text())
    assert told["outcomes"] == {"finished": 3}
    assert begin(out, storage=log).all_ended()


def test_what_a_cluster_cannot_do_is_one_line(stripes: Path, tmp_path: Path) -> None:
    asked, out = _asked(stripes), tmp_path / "study"
    for storage in (None, f"sqlite:///{tmp_path}/x.db"):
        with pytest.raises(ValueError, match="cannot write one SQLite file: give journal:PATH"):
            submit_sweep(asked, out, {}, workers=1, storage=storage)
    with pytest.raises(ValueError, match="jobs: expected a whole number of at least 1, got 0"):
        submit_sweep(asked, out, {}, workers=0, storage=f"journal:{tmp_path}/log")
    with pytest.raises(ValueError, match="unknown slurm option 'nods'; did you mean 'nodes'"):
        submit_sweep(asked, out, {"nods": 1}, workers=1, storage=f"journal:{tmp_path}/log")
