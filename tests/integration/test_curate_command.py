"""`jessl curate` from embeddings to files, and the labels back into `jessl classify`'s format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import jessl
from jessl.cli import main


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (80, 8, 8, 3)).astype(np.uint8)
    np.savez("images.npz", x=x)
    jessl.Embeddings(x.reshape(80, -1)).save("pool")
    return tmp_path


def test_files_and_text(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["curate", "pool", "--budget", "5", "--data", "images.npz", "--out", "out"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert text.startswith("Of 80 images: 5 images to label first (medoids), no near-duplicates")
    assert "fill in the column label of out/label_first.csv\n\nnext      jessl classify" in text
    assert "jessl classify --data images.npz --encoder ENCODER --labels out/label_first.csv" in text
    files = {file.name for file in (pool / "out").iterdir()}
    assert {"label_first.csv", "duplicates.csv", "outliers.csv", "summary.json"} <= files
    assert main(command) == 2
    assert "jessl curate: error: out: out exists" in capsys.readouterr().err


def test_json(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "pool", "--out", "out", "--no-page", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 80
    assert result["label_first"] is None
    assert result["next"][0].startswith("jessl curate pool --budget 80 --out ")
