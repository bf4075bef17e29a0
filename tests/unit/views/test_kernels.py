"""Compiling the kernels: announced where it happens, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from numba import njit

from jessl.views import kernels


def _compile_two() -> int:
    njit("i8(i8)")(lambda x: x + 1)
    njit("i8(i8)")(lambda x: x + 2)
    return 3


def test_a_compilation_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernels, "_announcement", kernels._Announcement())
    assert kernels._load_or_compile(_compile_two) == 3
    assert kernels._load_or_compile(_compile_two) == 3  # as the kernels for 16 bits
    assert capsys.readouterr().err.count("compiling the image kernels") == 1


def test_loading_is_silent_however_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    kernels.compiled()  # by an earlier test, or here
    capsys.readouterr()
    assert kernels._load_or_compile(kernels._build).render is not None  # from the cache
    assert capsys.readouterr().err == ""


def test_a_process_waits_for_another_that_compiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "__pycache__").mkdir()
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(kernels, "_LOCK_SECONDS", 0.1)
    cached: list[int] = []

    def build() -> int:
        if cached:  # as if the other process had filled the cache
            return 4
        cached.append(1)
        return _compile_two()

    assert kernels._load_or_compile(build) == 4
    assert capsys.readouterr().err == ""
    with FileLock(tmp_path / "__pycache__" / "jessl-kernels.lock"):  # by one that hangs
        assert kernels._load_or_compile(_compile_two) == 3
    (tmp_path / "__pycache__" / "jessl-kernels.lock").unlink(missing_ok=True)
    (tmp_path / "__pycache__").rmdir()  # no folder can be written
    assert kernels._load_or_compile(_compile_two) == 3
