"""The README's examples run, as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.paths import ROOT
from jessl.cli.main import main

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def test_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("python")
    assert len([line for line in block.splitlines() if line]) <= 12
    exec(compile(block, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert re.search(r"RankMe \d+\.\d, debiased \d+\.\d ± \d\.\d \(1797 x 256\)", out)
    assert "encoder generalization" in out


def test_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _write_photos(tmp_path)
    (block,) = _blocks("sh")
    lines = [line for line in block.splitlines() if line.startswith("jessl ")]
    assert len(lines) >= 6
    for line in lines:
        assert main(shlex.split(line, comments=True)[1:]) == 0, line
    assert (tmp_path / "my-run" / "report.html").exists()


def _write_photos(folder: Path) -> None:
    """`photos` and `few.csv`: 60 small images of three textures, 24 of them labelled."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    lines = ["path,label"]
    for k in range(60):
        picture = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
        picture[:: k % 3 + 2] += 100
        Image.fromarray(picture).save(folder / "photos" / f"{k}.png")
        if k < 24:
            lines.append(f"{k}.png,{'abc'[k % 3]}")
    (folder / "few.csv").write_text("\n".join(lines) + "\n")


def test_what_it_links_to_exists() -> None:
    root = ROOT
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / target).exists(), target


def test_the_two_commands_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in ("make demo", "make test"):
        assert command in README
        assert re.search(rf"^{command.split()[1]}:", makefile, flags=re.M)
