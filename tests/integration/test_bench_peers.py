"""benchmarks/bench_peers.py without the other libraries: its table, its numbers, its mistakes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from helpers.commands import Finished, Started
from helpers.interpreters import fast_python
from helpers.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "bench_peers.py"


def bench(*options: str) -> Finished:
    """The script in a process of its own; it starts those of the contenders itself."""
    code = (
        "import os, runpy, sys\nsys.argv = sys.argv[1:]\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with fast_python() as python:
        return Started(code, [str(SCRIPT), *options], environment, python).wait()


def test_the_quick_comparison(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", x=images, y=np.arange(400) % 4)
    done = bench(
        "--quick", "--data", str(tmp_path / "small.npz"), "--knn", "0.01", "--threads", "1",
        "--json", str(tmp_path / "numbers.json"), "--record", str(tmp_path / "record.md"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["missing"] == {}
    assert set(numbers["rows"]) == {"jessl", "torchvision"}
    for row in numbers["rows"].values():
        assert [images for images, _, _ in row["rounds"]] == [96] * 2
        assert all(wall > 0 for _, wall, _ in row["rounds"])
        assert [steps for steps, _ in row["knn"]] == sorted(steps for steps, _ in row["knn"])
        assert all(0 <= accuracy <= 1 for _, accuracy in row["knn"])
    record = (tmp_path / "record.md").read_text()
    for words in ("instruction sets", "command: `python benchmarks/", "Time to a kNN"):
        assert words in record


def test_data_that_cannot_be_opened_are_one_line(tmp_path: Path) -> None:
    done = bench("--quick", "--data", str(tmp_path / "absent.npz"))
    assert done.returncode == 1
    assert done.stderr.startswith("--data: ")
    assert "Traceback" not in done.stderr
