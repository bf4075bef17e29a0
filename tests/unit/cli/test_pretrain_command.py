"""`jessl pretrain`: what may be left out when a run goes on, and the commands that come next."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jessl.cli import main
from jessl.cli._selection_tables import _commands_with
from jessl.conclusion import RunConclusion

TRAIN = ["pretrain", "--encoder", "smallconv:4", "--size", "8", "--epochs", "1", "--out", "run"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds `run`, trained on noise."""
    folder = tmp_path_factory.mktemp("trained")
    images = np.random.default_rng(0).integers(0, 255, (120, 8, 8, 3)).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        np.save("my images.npy", images)
        assert main([*TRAIN, "--data", "my images.npy", "--log", "none"]) == 0
    return folder


def test_a_run_goes_on_without_naming_its_images_again(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(trained)
    assert main(["pretrain", "--out", "run", "--resume", "--json"]) == 0
    captured = capsys.readouterr()
    assert "run is finished: nothing to resume" in captured.err
    assert json.loads(captured.out)["config"]["data"] == "my images.npy"
    for mistake in (["--out", "run"], ["--resume"], ["--out", "none", "--resume"]):
        assert main(["pretrain", *mistake]) == 2
        assert "expected --data; see jessl pretrain --help" in capsys.readouterr().err


def test_a_training_that_is_not_seen_to_help_is_compared_first(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Noise cannot be learned: using the encoder is not the next thing to do."""
    monkeypatch.chdir(trained)
    assert main(["pretrain", "--out", "run", "--resume", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert not result["conclusion"].startswith("the training helped")
    assert result["next"][0] == (
        "jessl select --encoders run timm:resnet50.a1_in1k pixels --data 'my images.npy' "
        "--out compared"
    )
    helped = RunConclusion("the training helped: ...", True)
    monkeypatch.setattr("jessl.cli.pretrain.run_conclusion", lambda _records: helped)
    assert main(["pretrain", "--out", "run", "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["next"][0].startswith("jessl curate run ")


def test_a_chosen_run_is_embedded_with_its_own_images(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    checkpoint = sorted(Path("run/checkpoints").iterdir())[-1]
    for path in ("run", str(checkpoint)):
        expected = f"jessl embed {path} --data 'my images.npy' --out embeddings"
        assert _commands_with([path])[0] == expected
    assert _commands_with(["gone"])[0] == "jessl embed gone --data SRC --out embeddings"
