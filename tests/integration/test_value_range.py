"""--bits and --range on the command line, and where they are recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jessl.cli import main
from jessl.config import Pretrain, Sweep
from jessl.core.log import Log
from jessl.embeddings import Embeddings
from jessl.extraction import embedding_cache
from jessl.runs import Run
from jessl.sweeps.sweep import sweep

NET = ("smallconv:4", "--init", "random")


@pytest.fixture
def twelve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "twelve").mkdir()
    for i in range(20):
        values = rng.integers(0, 4096, (12, 12)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "twelve" / f"{i:02}.png")
    return tmp_path


def test_embed(twelve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", *NET, "--data", "twelve", "--out", "dark", "--json"]) == 0
    printed = capsys.readouterr()
    assert "nearly black" in printed.err
    assert "--bits 12" in json.loads(printed.out)["notes"][0]
    assert main(["embed", *NET, "--data", "twelve", "--out", "bits", "--bits", "12"]) == 0
    assert "black" not in capsys.readouterr().err
    assert main(["embed", *NET, "--data", "twelve", "--out", "range", "--range", "0", "4095"]) == 0
    dark, bits, by_range = (Embeddings.load(name) for name in ("dark", "bits", "range"))
    assert "value_range" not in dark.meta
    assert bits.meta["value_range"] == by_range.meta["value_range"] == [0, 4095]
    assert bits.meta["data_checksum"] == by_range.meta["data_checksum"]
    assert bits.meta["data_checksum"] != dark.meta["data_checksum"]
    assert np.array_equal(bits.features, by_range.features)
    assert bits.features.std(axis=0).sum() > 4 * dark.features.std(axis=0).sum()


def test_what_is_refused_in_one_line(twelve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["embed", *NET, "--data", "twelve", "--out", "e"]
    for options in (["--bits", "8"], ["--range", "5", "5"], ["--bits", "12", "--range", "0", "1"]):
        assert main([*command, *options]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["select", "r", "--bits", "12"]) == 2


def test_pretrain_records_it_and_a_resumed_run_keeps_it(
    twelve: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["pretrain", "--data", "twelve", "--encoder", "smallconv:4", "--epochs", "1"]
    train += ["--out", "r", "--range", "0", "4095"]
    assert main(train) == 0
    assert Run.open(twelve / "r").resolved_config().value_range == (0, 4095)
    assert main([*train, "--resume"]) == 0
    capsys.readouterr()
    assert main([*train[:-1], "4000", "--resume"]) == 2
    assert "with --range (0.0, 4000.0): the run has (0.0, 4095.0)" in capsys.readouterr().err
    # checkpoints are scored on the images of the run, also where those have moved
    (twelve / "twelve").rename(twelve / "moved")
    assert main(["select", "r", "--checkpoints", "--by", "rankme/backbone", "--data", "moved"]) == 0


def test_a_comparison_is_made_anew_with_other_bits(
    twelve: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(
        ["pretrain", "--data", "twelve", "--encoder", "smallconv:4", "--epochs", "1", "--out", "r"]
    )
    assert "nearly black" in Run.open(twelve / "r").facts()["data_notes"][0]
    embedded: list[int] = []
    embed_to_folder = embedding_cache.embed_to_folder

    def counted(*args: Any, **options: Any) -> dict[str, Embeddings]:
        embedded.append(1)
        return embed_to_folder(*args, **options)

    monkeypatch.setattr(embedding_cache, "embed_to_folder", counted)
    command = ["select", "--encoders", "r", "--data", "twelve", "--out", "s", "--view-images", "0"]
    for bits, expected in (("12", 1), ("12", 1), ("11", 2)):
        assert main([*command, "--bits", bits]) == 0
        assert len(embedded) == expected


def test_a_sweep_notes_it_once(twelve: Path) -> None:
    base = Pretrain(data="twelve", encoder="smallconv:4", epochs=1, holdout=0, evaluate_epochs=0)
    notes: list[str] = []

    class Noted(Log):
        def note(self, text: str) -> None:
            notes.append(text)

    config = Sweep(base=base, space={"lr": [0.1]})
    sweep(config, twelve / "s", log=Noted())
    assert len([note for note in notes if "nearly black" in note]) == 1
    notes.clear()
    bright = replace(base, value_range=(0.0, 4095.0))
    sweep(replace(config, base=bright), twelve / "t", log=Noted())
    assert not any("black" in note for note in notes)
    assert Run.open(next((twelve / "t" / "runs").iterdir())).config().value_range == (0, 4095)
    # the same study goes on, read back from JSON
    sweep(replace(config, base=bright), twelve / "t", log=Noted())


def test_other_commands(twelve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", "--data", "twelve", "--range", "0", "4095", "--count", "2"]) == 0
    bench = ["bench", "loader", "--data", "twelve", "--images", "4", "--seconds", "0.05"]
    assert main([*bench, "--threads", "1", "--bits", "12"]) == 0
    assert main(["pack", "twelve", "packed", "--range", "0", "4095", "--json"]) == 0
    assert "black" not in capsys.readouterr().err
