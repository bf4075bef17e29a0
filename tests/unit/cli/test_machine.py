"""The part of `jessl doctor` about the machine: sentences from measured numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from jessl.cli._machine import advise, describe_machine, loading_lines, machine_lines

CHECKS = {"folder": "runs", "damaged": [], "unfinished": [], "removed": []}
LOADING = {
    "images": 6_000,
    "size": 96,
    "encoder": "smallconv",
    "threads": 2,
    "images_per_second": 50.0,
    "needed": 40.0,
    "epoch_seconds": 150.0,
    "verdict": [
        "decoding takes 80%",
        "jessl pack would make an image 3x faster",
        "1 thread feeds it",
    ],
}


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    machine = describe_machine(tmp_path)
    assert machine["cores"] >= 1
    assert "torch" in machine["versions"]
    assert [line.split()[0] for line in machine_lines(machine)] == [
        *("versions", "processor", "memory", "GPU", "disk")
    ]
    calm = machine | {"disk_free_gb": 100.0, "memory_gib": 8.0, "gpu_without_torch": False}
    assert advise(calm, None, CHECKS) == []


def test_the_three_most_useful_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    machine = describe_machine(tmp_path) | {
        "gpu_without_torch": False, "gpus": [], "cores": 4, "disk_free_gb": 2.0, "memory_gib": 8.0
    }  # fmt: skip
    assert loading_lines(LOADING) == [
        "loader       50 images/s with 2 threads, two views of 96 px",
        "training     40 images/s by smallconv: an epoch of 6,000 images takes about 2 minutes",
    ]
    advice = advise(machine, LOADING, CHECKS)
    assert [line.split()[0] for line in advice] == ["2.0", "OMP_NUM_THREADS=1", "jessl"]
    monkeypatch.delenv("OMP_NUM_THREADS")
    advice = advise(machine | {"disk_free_gb": 100.0}, LOADING, CHECKS)
    assert advice[0] == "jessl pack would make an image 3x faster"
    assert advice[1].startswith("without a GPU smaller views train faster: --size 48")
    fast = LOADING | {"images_per_second": 500.0, "epoch_seconds": 20.0}
    assert advise(machine | {"disk_free_gb": 100.0}, fast, CHECKS) == []
    left = {"path": "a", "bytes": 3_000_000, "in_use": False}
    damaged = {"path": "runs/a", "kind": "checkpoints", "reason": "changed"}
    advice = advise(machine, LOADING, CHECKS | {"damaged": [damaged], "unfinished": [left]})
    assert len(advice) == 3
    assert advice[0].startswith("1 damaged: make runs/a again")
    assert advice[2].startswith("jessl doctor runs --clean removes 3.0 MB")
