"""Opening the encoder of a run whose configuration was changed by others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.run_samples import small_config
from jessl import Run, embed, pretrain
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


def test_baselines_need_no_weights(run: Run, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    z = embed("pixels:8", tmp_path / "x.npy")
    np.testing.assert_allclose(z.features, x.transpose(0, 3, 1, 2).reshape(3, -1) / 255, atol=1e-6)
    named = open_encoder("smallconv:4", init="random", seed=3)[0].state_dict()
    random = open_encoder("random:smallconv:4", seed=3)[0].state_dict()
    assert all(torch.equal(random[k], v) for k, v in named.items())
    untrained, objective, provenance = open_encoder(f"random:{run.path}")
    assert objective is not None
    assert provenance["weights"] == "random, seed 0"
    assert not torch.equal(
        untrained.state_dict()["body.layers.0.weight"],
        open_encoder(run)[0].state_dict()["body.layers.0.weight"],
    )


@pytest.mark.parametrize(
    ("encoder", "options", "reason"),
    [
        ("pixels:0", {}, "expected a side of at least 1 pixel, got '0'"),
        ("pixels", {"stem": "small"}, "pixels have no stem"),
        ("random:smallconv:4", {"init": "random"}, "leave init out"),
        ("random:nothing", {}, "unknown encoder"),
    ],
)
def test_mistakes_with_baselines_are_one_line(
    encoder: str, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        open_encoder(encoder, **options)  # type: ignore[arg-type]


def test_a_folder_named_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixels").mkdir()
    with pytest.raises(ValueError, match=r"give \./pixels for the path, or pixels:32 for the name"):
        open_encoder("pixels")
    assert open_encoder("pixels:32")[0].dim == 3072


def test_pixels_are_not_trained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoder: expected one with weights to train, got pixels"):
        pretrain(small_config("digits", tmp_path / "run", encoder="pixels"), quiet=True)
