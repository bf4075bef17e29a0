"""`jessl doctor`: what it finds, what it removes, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jessl import Embeddings, records
from jessl.cli import main
from jessl.core.files import locked
from jessl.training import checkpoint

OLD, PART = ".jessl-1-{}00000000.old", ".jessl-1-0123456789abcdef.part"


def _digits(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _doctor(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["doctor", *words, "--json"]) == 0
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


def test_doctor_cleans_up_what_is_ours_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    z = Embeddings(np.eye(4))
    z.save(tmp_path / "z")
    z.save(tmp_path / OLD.format(_digits("y")) / "y")
    (tmp_path / PART).write_text("half")
    (tmp_path / ".mine.part").write_text("mine")
    (tmp_path / "z" / ".lock").touch()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / ".lock").touch()
    (tmp_path / "app" / "other").touch()  # not known to be ours
    before = sorted(tmp_path.rglob("*"))
    result = _doctor(capsys, str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before
    assert result["sound"] is True
    assert len(result["unfinished"]) == 2  # type: ignore[arg-type]
    assert main(["doctor", str(tmp_path), "--clean"]) == 0
    out = capsys.readouterr().out
    assert f"brought back {tmp_path / 'y'}" in out
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [".mine.part", "app", "y", "z"]
    assert (tmp_path / "app" / ".lock").exists()
    assert len(Embeddings.load(tmp_path / "y")) == 4


def test_doctor_names_what_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    records.append(run, [records.Record(run="run", name="loss", value=float(i)) for i in range(3)])
    path = checkpoint.save(run / "checkpoints", 3, {"encoder": torch.nn.Linear(3, 3)}, {})
    z = Embeddings(np.eye(4), np.arange(4)).save(run / "embeddings" / "backbone")
    with locked(run):
        assert _doctor(capsys, str(run))["sound"] is True
    for file in (path / checkpoint.MODEL, z / "labels.npy", run / records.FILE):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    result = _doctor(capsys, str(run))
    damaged = result["damaged"]
    assert isinstance(damaged, list)
    assert sorted(item["kind"] for item in damaged) == ["checkpoints", "embeddings", "records"]
    assert result["checked"] == {"checkpoints": 1, "embeddings": 1, "records": 1}
    assert result["sound"] is False
    assert "line 2" in next(item["reason"] for item in damaged if item["kind"] == "records")
