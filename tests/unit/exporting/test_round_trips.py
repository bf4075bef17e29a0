"""Exports give the encoder's features in a fresh process that cannot import jessl.

All exports are written here, one architecture and format each, the smallest that timm has of its
kind; one process runs the lines of every README.md. benchmarks/bench_export.py does so for more
architectures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import jessl
from jessl.core.log import SILENT
from jessl.encoders import Encoder, Preprocess, build_encoder
from jessl.exporting import ExportResult
from jessl.exporting.export import export
from jessl.extraction.open_encoder import open_encoder

SIZE = 32
# a name and a stem -> the formats that hold it
ENCODERS = {
    ("torchvision:resnet18", "standard"): ("timm", "torchvision"),
    ("timm:resnet18", "small"): ("torchvision", "torch"),
    ("timm:test_vit", None): ("timm", "transformers", "onnx"),
    ("timm:test_convnext", None): ("timm",),
    ("timm:mobilenetv3_small_050", None): ("transformers",),
    ("smallconv:4", None): ("onnx", "torch"),
}
CASES = [(name, stem, f) for (name, stem), formats in ENCODERS.items() for f in formats]
# runs the lines of an export, whose input is a file, as a person would
LOADER = """
import json, os, re, sys, warnings

class NoJessl:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "jessl":
            raise ImportError("jessl is not here")

sys.meta_path.insert(0, NoJessl())
import numpy as np, torch
torch.set_grad_enabled(False)
for name in json.loads(sys.argv[1]):
    code = re.search(r"```python\\n(.*?)```", open(f"{name}/README.md").read(), flags=re.S)[1]
    for n in (1, 5):
        images = np.load(f"{name}.images.npy")[:n]
        names = {"images": images if name.endswith("onnx") else torch.from_numpy(images)}
        exec(code, names)
        outputs = [np.asarray(names[k]) for k in ("features", "projection") if k in names]
        np.savez(f"{name}.{n}.npz", *outputs)
assert "jessl" not in sys.modules
"""


def tiny_batch(size: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, 3, size, size)).astype(np.float32)


def random_encoder(name: str, stem: str | None) -> Encoder:
    """An encoder whose batch norms have statistics, so that features depend on the image."""
    torch.manual_seed(0)
    encoder = build_encoder(name, size=SIZE, stem=stem)
    encoder.train()
    with torch.no_grad():
        for _ in range(3):
            encoder(torch.randn(8, 3, SIZE, SIZE))
    encoder.preprocess = Preprocess(SIZE, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 0.875)
    return encoder.eval()


def label(name: str, stem: str | None, format: str) -> str:
    return f"{name.replace(':', '-')}-{stem}-{format}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def encoders() -> dict[tuple[str, str | None], Encoder]:
    return {key: random_encoder(*key) for key in ENCODERS}


@pytest.fixture(scope="module")
def exports(
    folder: Path, encoders: dict[tuple[str, str | None], Encoder]
) -> dict[str, ExportResult]:
    """Every case, and what the fresh process computed in NAME.1.npz and NAME.5.npz."""
    written = {}
    for name, stem, format in CASES:
        out = folder / label(name, stem, format)
        written[out.name] = export(encoders[name, stem], out, format=format, log=SILENT)
        np.save(f"{out}.images.npy", tiny_batch(SIZE))
    done = subprocess.run(
        [sys.executable, "-c", LOADER, json.dumps(list(written))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return written


@pytest.mark.parametrize(("name", "stem", "format"), CASES)
def test_the_lines_of_the_readme_give_the_features_without_jessl(
    name: str,
    stem: str | None,
    format: str,
    folder: Path,
    encoders: dict[tuple[str, str | None], Encoder],
    exports: dict[str, ExportResult],
) -> None:
    out = label(name, stem, format)
    with torch.no_grad():
        wanted = encoders[name, stem](torch.from_numpy(tiny_batch(SIZE))).numpy()
    assert wanted.std(axis=0).max() > 1e-3  # of unlike images, unlike features
    for n in (1, 5):
        with np.load(folder / f"{out}.{n}.npz") as held:
            (features,) = held.values()
        np.testing.assert_allclose(features, wanted[:n], rtol=1e-5, atol=1e-5)
    result = exports[out]
    assert result.max_abs_difference < 1e-5
    assert result.dim == wanted.shape[1]


@pytest.mark.parametrize(
    ("name", "stem", "format"),
    [case for case in CASES if case[2] in ("timm", "torchvision", "transformers")],
)
def test_jessl_takes_exports_back_with_their_preprocessing(
    name: str,
    stem: str | None,
    format: str,
    folder: Path,
    encoders: dict[tuple[str, str | None], Encoder],
    exports: dict[str, ExportResult],
) -> None:
    out = exports[label(name, stem, format)].out
    images = torch.from_numpy(tiny_batch(SIZE))
    with torch.no_grad():
        wanted = encoders[name, stem](images)
        for spec in (str(out), f"ckpt:{out}"):
            again, _, provenance = open_encoder(spec)
            torch.testing.assert_close(again.eval()(images), wanted, rtol=1e-5, atol=1e-5)
            assert again.preprocess == encoders[name, stem].preprocess
            assert str(provenance["weights"]).startswith("export ")
        fresh, _, _ = open_encoder(name, init=out, size=SIZE, stem=stem)
        torch.testing.assert_close(fresh.eval()(images), wanted, rtol=1e-5, atol=1e-5)


def test_files_hold_no_paths_of_the_machine(exports: dict[str, ExportResult]) -> None:
    home = str(Path(jessl.__file__).parents[2]).encode()
    for result in exports.values():
        for file in result.out.iterdir():
            content = file.read_bytes()
            assert home not in content, file
            assert str(result.out.parent).encode() not in content, file
            assert b"site-packages" not in content, file


def test_timm_reads_the_preprocessing_and_can_add_a_head(
    exports: dict[str, ExportResult],
) -> None:
    import timm

    out = exports[label("timm:test_vit", None, "timm")].out
    net = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=7)
    assert net(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 7)
    data = timm.data.resolve_model_data_config(net)
    assert data["input_size"] == [3, SIZE, SIZE] or data["input_size"] == (3, SIZE, SIZE)
    assert list(data["mean"]) == [0.5, 0.4, 0.3]
    assert list(data["std"]) == [0.2, 0.25, 0.3]
    assert (data["crop_pct"], data["interpolation"]) == (0.875, "bilinear")
