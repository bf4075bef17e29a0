"""A built-in name that is also a path is refused with both spellings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl import open_source
from jessl.cli import main
from jessl.extraction.open_encoder import open_encoder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_digits_beside_a_folder_of_that_name(here: Path) -> None:
    (here / "digits").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(here / "digits" / "a.png")
    with pytest.raises(ValueError, match=r"which is both: give \./digits .* or sklearn:digits"):
        open_source("digits")
    assert len(open_source("./digits")) == 1
    assert len(open_source("sklearn:digits")) == 1797


def test_an_encoder_beside_a_folder_of_that_name(here: Path) -> None:
    (here / "smallconv").mkdir()
    with pytest.raises(ValueError, match=r"which is both: give \./smallconv .* or smallconv:32"):
        open_encoder("smallconv")
    assert open_encoder("smallconv:32", init="random")[0].dim == 256


def test_a_study_beside_a_folder_of_that_name(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "small_vicreg_sweep").mkdir()
    assert main(["sweep", "small_vicreg_sweep", "--data", "digits"]) == 2
    assert "study: expected a name or a path, got small_vicreg_sweep" in capsys.readouterr().err
