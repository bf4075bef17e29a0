"""The GPU day, whole, on the CPU: every part runs, is recorded, and is not begun a second time."""

from __future__ import annotations

import json
import sys

import pytest

from helpers.paths import ROOT


@pytest.fixture
def day(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_day

    def call(*more: str) -> dict[str, dict[str, object]]:
        work = tmp_path / "work"
        options = ["--device", "cpu", "--quick", "--work", str(work), *more]
        monkeypatch.setattr(sys, "argv", ["gpu_day.py", *options])
        gpu_day.main()
        return json.loads((work / "state.json").read_text())

    return call


def test_the_whole_day_on_the_cpu(day, stripes, tmp_path, capsys):
    state = day("--data", str(stripes), "--record", str(tmp_path / "record.md"))
    assert {name: part["status"] for name, part in state.items()} == dict.fromkeys(
        ("tests", "speedrun", "objectives", "views", "judging"), "done"
    ), state
    record = (tmp_path / "record.md").read_text()
    assert "not measured on a GPU yet" in record
    for column in ("reached", "images_per_second", "largest", "share of a step", "device_seconds"):
        assert column in record
    capsys.readouterr()
    assert day("--data", str(stripes)) == state
    assert capsys.readouterr().err.count("done before") == 5


def test_a_day_without_images_says_so(day):
    state = day("--only", "speedrun")
    assert state["speedrun"]["status"] == "skipped"
    assert "--data" in state["speedrun"]["note"]
