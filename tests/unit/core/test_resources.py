"""Cores and memory that control groups and limits of the process leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from jessl.core import resources


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups, on a machine with eight cores; this process at the root."""
    monkeypatch.setattr(resources, "_CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(resources, "_MEMBERSHIP", tmp_path / "membership")
    eight = set(range(8))
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda _pid: eight, raising=False)
    return tmp_path


def _write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("50000 100000", 1), ("150000 100000", 2), ("max 100000", 8), ("broken", 8)],
)
def test_a_container_grants_its_share_of_cores(groups: Path, limit: str, cores: int) -> None:
    _write(groups, cpu__max=limit)
    assert resources.usable_cores() == cores


def test_half_a_core_by_the_older_interface(groups: Path) -> None:
    _write(groups / "cpu", cpu__cfs_quota_us=50000, cpu__cfs_period_us=100000)
    assert resources.usable_cores() == 1


def test_the_limits_of_a_job_below_the_root(groups: Path) -> None:
    """SLURM and systemd put a process into a group deep in the tree; each level may limit it."""
    (groups / "membership").write_text("0::/system.slice/job_7/step_0\n")
    job = groups / "system.slice" / "job_7"
    _write(job, cpu__max="300000 100000", memory__max=8 * 2**20, memory__current=2**20)
    _write(job / "step_0", cpu__max="max 100000", memory__max="max", memory__current=2**20)
    assert resources.usable_cores() == 3
    assert resources.available_memory() == 7 * 2**20


def test_the_limits_of_a_job_by_the_older_interface(groups: Path) -> None:
    (groups / "membership").write_text("3:cpu,cpuacct:/job_7\n2:memory:/job_7\n0::/\n")
    _write(groups / "cpu" / "job_7", cpu__cfs_quota_us=200000, cpu__cfs_period_us=100000)
    _write(
        groups / "memory" / "job_7",
        memory__limit_in_bytes=8 * 2**20,
        memory__usage_in_bytes=3 * 2**20,
        memory__stat=f"cache {2**20}\ntotal_inactive_file {2**20}",
    )
    assert resources.usable_cores() == 2
    assert resources.available_memory() == 6 * 2**20  # files that were read do not count


def test_a_container_whose_groups_have_other_names_outside(groups: Path) -> None:
    (groups / "membership").write_text("0::/docker/0123\n")
    _write(groups, cpu__max="100000 100000", memory__max=2**20, memory__current=2 * 2**20)
    assert resources.usable_cores() == 1
    assert resources.available_memory() == 0


def test_a_limit_of_the_address_space(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = (used + 2**24, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits)
    available = resources.available_memory()
    assert available is not None
    assert 0 < available <= 2**25
    with pytest.raises(ValueError, match=r"the table: needs 1\.0 GiB of memory, 0\.0 GiB is"):
        resources.check_memory(2**30, "the table")
