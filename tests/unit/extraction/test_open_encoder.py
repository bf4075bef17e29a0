"""Opening the encoder of a run whose configuration was changed by others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from helpers.run_samples import small_config
from jessl import Run, pretrain
from jessl.core.files import read_json, write_json
from jessl.encoders import build_encoder
from jessl.extraction.open_encoder import open_encoder
from jessl.objectives import build_objective


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("run") / "run"
    return pretrain(small_config("digits", out, epochs=1, batch_size=256), quiet=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoder": "smallconv:99999999"}, "cannot be built: Storage size"),
        ({"dim": 2**25}, "they are not of one training"),
        ({"objective_options": {"projector": 2**33}}, "they are not of one training"),
        ({"dim": 2**70}, "cannot be built"),
    ],
)
def test_networks_beyond_the_memory_are_one_line(
    run: Run, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    stored = read_json(run.path / "config.json")
    stored["chosen"]["config"].update(changes)
    write_json(tmp_path / "config.json", stored)
    shutil.copytree(run.checkpoints, tmp_path / "checkpoints")
    with pytest.raises(ValueError, match=reason) as caught:
        open_encoder(str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


def test_sizes_beyond_the_memory_are_one_line_wherever_a_network_is_built() -> None:
    for build in (
        lambda: build_encoder("smallconv:99999999"),
        lambda: build_encoder("smallconv:4", dim=2**70),
        lambda: build_objective("vicreg", 8, {"projector": 2**62}),
        lambda: build_objective("vicreg", 8, {"projector": "8-9999999999999999999999"}),
    ):
        # no memory is taken for the parts that would fit
        with torch.device("meta"), pytest.raises(ValueError, match="cannot be built: "):
            build()
    with pytest.raises(ValueError, match="objective vicreg with these options cannot be built"):
        build_objective("vicreg", 8, {"projector": 2**45})
