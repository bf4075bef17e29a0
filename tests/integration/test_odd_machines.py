"""Machines without a compiler, with one core, half a core or little memory: what they choose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jessl.cli import main
from jessl.core import processor, resources
from jessl.pretraining import speed
from jessl.runs import Run


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without bfloat16, whose runs of any length are tuned; its control groups."""
    monkeypatch.setattr(speed, "_LEAST_STEPS", 1)
    monkeypatch.setattr(speed, "_SHARE", 1e9)
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"avx2"}))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    groups = tmp_path / "groups"
    groups.mkdir()
    monkeypatch.setattr(resources, "_CONTROL_GROUP", groups)
    monkeypatch.setattr(resources, "_MEMBERSHIP", groups / "membership")
    return groups


@pytest.fixture
def commands(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Run, str]]:
    """Pretraining, embedding and a score: the run, and what was printed of its speed."""

    def work(*options: str) -> tuple[Run, str]:
        run, z = str(tmp_path / "run"), str(tmp_path / "z")
        train = ["pretrain", "--data", str(stripes), "--out", run, "--encoder", "smallconv:4"]
        assert main([*train, "--epochs", "1", "--batch-size", "16", *options]) == 0
        printed = capsys.readouterr().err
        assert main(["embed", run, "--data", str(stripes), "--out", z]) == 0
        capsys.readouterr()
        assert main(["score", z, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["embeddings"][z]["rankme"]["value"] > 1
        return Run.open(run), printed

    return work


def test_no_compiler(
    machine: Path, commands: Callable[..., tuple[Run, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(machine))
    monkeypatch.delenv("CXX", raising=False)
    run, printed = commands()
    assert "no C++ compiler for torch.compile" in printed
    assert run.resolved_config().compile is False


def test_no_compiler_for_what_is_to_be_compiled(
    machine: Path, commands: Callable[..., tuple[Run, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch says so when the compiled network is called; really without a compiler after 20 s."""

    def fails(*_: object) -> object:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", lambda _module: fails)
    run, printed = commands("--compile", "--no-tune")
    line = "note: compile: InvalidCxxCompiler: No working C++ compiler found; the training goes on"
    assert line in printed
    assert run.resolved_config().compile is True


def test_one_core(
    machine: Path, commands: Callable[..., tuple[Run, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    run, printed = commands()
    assert "; one core" in printed
    assert run.resolved_config().torch_threads is None


def test_half_a_core_of_many(
    machine: Path, commands: Callable[..., tuple[Run, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch takes a thread for each core of the machine; one for all is measured beside it."""
    (machine / "cpu.max").write_text("50000 100000\n")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run, printed = commands()
    finally:
        torch.set_num_threads(before)
    assert resources.usable_cores() == 1
    assert "speed     " in printed
    tried = [attempt["settings"] for attempt in run.facts()["tuning"]["attempts"]]
    assert any(settings.endswith("1 thread") for settings in tried)
    assert run.resolved_config().torch_threads in (None, 1)


def test_little_memory(machine: Path, commands: Callable[..., tuple[Run, str]]) -> None:
    (machine / "memory.max").write_text(f"{2**22}\n")
    (machine / "memory.current").write_text(f"{2**22 - 2**18}\n")
    run, printed = commands()
    assert "note: speed: not tuned, since copies of the network would take half" in printed
    assert "tuning" not in run.facts()
