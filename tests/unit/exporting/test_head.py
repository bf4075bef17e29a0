"""A classifier exported with its encoder: logits and class names in other libraries."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import jessl
from helpers.run_samples import small_config
from jessl import Run, pretrain
from jessl.core.log import SILENT
from jessl.encoders.checkpoints.export_folder import read_description
from jessl.extraction.open_encoder import open_encoder

NAMES = ("ash", "birch; silver", "oak")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch with labels, of a net of timm."""
    folder = tmp_path_factory.mktemp("head")
    x = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    np.save(folder / "images.npy", x)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [(i, NAMES[i % 3]) for i in range(12)]
        csv.writer(file).writerows([("path", "label"), *rows])
    config = small_config(
        folder / "images.npy", folder / "run", labels=str(folder / "labels.csv"), size=32,
        objective="supervised", encoder="timm:resnet10t", stem="standard", epochs=1, batch_size=6,
        evaluate_epochs=0, online_probes=False,
    )  # fmt: skip
    return pretrain(config, quiet=True)


@pytest.fixture(scope="module")
def expected(trained: Run) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    encoder, objective, _ = open_encoder(trained)
    assert objective is not None
    with torch.no_grad():
        return images, objective.eval().classify(encoder.eval()(images))


def test_timm_has_the_logits_and_the_names(
    trained: Run, expected: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    result = jessl.export(trained, tmp_path / "net", format="timm", head=True, log=SILENT)
    assert result.classes == NAMES
    assert read_description(tmp_path / "net").classes == NAMES
    names: dict[str, object] = {"images": expected[0]}
    with torch.no_grad():
        exec("\n".join(result.code), names)
    torch.testing.assert_close(names["logits"], expected[1], rtol=1e-5, atol=1e-5)
    assert tuple(names["classes"]) == NAMES  # type: ignore[arg-type]
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert (config["num_classes"], config["label_names"]) == (3, list(NAMES))
    assert "birch; silver" in (tmp_path / "net" / "README.md").read_text()
    # the encoder is taken back without it, and timm gives another head
    again, _, _ = open_encoder(tmp_path / "net")
    encoder, _, _ = open_encoder(trained)
    assert all(torch.equal(v, encoder.state_dict()[k]) for k, v in again.state_dict().items())
    other = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True, num_classes=5)
    assert other(expected[0]).shape == (4, 5)


def test_programs_have_one_more_output(
    trained: Run, expected: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    result = jessl.export(trained, tmp_path / "torch", format="torch", head=True, log=SILENT)
    assert result.code[-1] == "features, logits = net(images)"
    names: dict[str, object] = {"images": expected[0]}
    exec("\n".join(result.code), names)
    torch.testing.assert_close(names["logits"], expected[1], rtol=1e-5, atol=1e-5)


def test_onnx_names_it_logits(
    trained: Run, expected: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    jessl.export(trained, tmp_path / "onnx", format="onnx", head=True, log=SILENT)
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    (logits,) = session.run(["logits"], {"images": expected[0].numpy()})
    np.testing.assert_allclose(logits, expected[1], rtol=1e-4, atol=1e-4)


def test_others_hold_no_classifier(trained: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"with its classifier: it holds encoders without"):
        jessl.export(trained, tmp_path / "net", format="torchvision", head=True, log=SILENT)
    with pytest.raises(
        ValueError, match="head: expected a folder of jessl finetune or classify, or a run"
    ):
        jessl.export("smallconv:4", tmp_path / "net", init="random", head=True, log=SILENT)
    assert not (tmp_path / "net").exists()
