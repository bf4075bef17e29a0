"""What an export refuses, replaces and says; and hostile folders that are taken back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers

import jessl
from jessl.cli.main import main
from jessl.core.checksums import write_checksums
from jessl.core.log import SILENT, Log
from jessl.encoders import build_encoder
from jessl.exporting import ExportResult
from jessl.exporting.timm_folder import TimmFolder
from jessl.extraction.open_encoder import open_encoder

NET = "timm:mobilenetv3_small_050"


def write(out: Path, format: str | None = "timm", **options: object) -> ExportResult:
    options = {"init": "random", "size": 32, "log": SILENT, **options}
    return jessl.export(NET, out, format=format, **options)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("export") / "net").out


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "net"))


@pytest.mark.parametrize(
    ("encoder", "options", "reason"),
    [
        (NET, {"format": "tim"}, "unknown format 'tim'; did you mean 'timm'?"),
        (
            "timm:resnet18",
            {"format": "timm", "stem": "small"},
            "timm cannot hold timm:resnet18 with the small stem: its ResNets have no small stem "
            r"\(3x3, stride 1, no max-pool\); torchvision, onnx and torch can",
        ),
        (
            "smallconv:4",
            {"format": "transformers"},
            "transformers cannot hold smallconv:4: that is a net of jessl; onnx and torch can",
        ),
        (NET, {"format": "torchvision"}, "it has no architecture with the tensors of timm:mobile"),
        (NET, {"projector": True}, "projector: expected a run, whose objective has one"),
        ("timm:resnt18", {}, "did you mean 'resnet18'"),
        ("./nothing", {}, "none at"),
    ],
)
def test_a_refused_export_is_one_line_and_writes_nothing(
    encoder: str, options: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        jessl.export(
            encoder, tmp_path / "out", **{"init": "random", "size": 32, "log": SILENT, **options}
        )
    assert len(str(caught.value).splitlines()) == 1
    assert names(tmp_path) == []


def test_the_default_format_is_timm_else_torch_with_a_note(tmp_path: Path) -> None:
    lines: list[str] = []
    assert write(tmp_path / "a", None, log=Log(lines.append)).format == "timm"
    encoder = build_encoder("smallconv:2", size=8, dim=40)
    result = jessl.export(encoder, tmp_path / "b", log=Log(lines.append))
    assert (result.format, result.dim) == ("torch", 40)
    assert encoder.training
    assert lines == [
        "note: format timm, the default where it can hold the encoder",
        "note: format torch, as timm cannot hold smallconv:2 with an expansion to 40 features: its "
        "architectures have no expansion to 40 features",
    ]


def test_only_an_earlier_export_is_replaced_and_only_on_request(copied: Path) -> None:
    before = (copied / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="holds an export already; give overwrite to replace it"):
        write(copied)
    write(copied, overwrite=True, seed=1)
    assert (copied / "model.safetensors").read_bytes() != before
    (copied / "thesis.txt").write_text("mine")
    listing = names(copied)
    with pytest.raises(ValueError, match=r"holds 1 files beside an export, first thesis.txt"):
        write(copied, overwrite=True)
    (copied / "jessl.json").unlink()
    with pytest.raises(ValueError, match=r"expected a new or an empty folder, got .*no export"):
        write(copied, overwrite=True)
    assert names(copied) == [n for n in listing if n != "jessl.json"]
    file = copied / "thesis.txt"
    with pytest.raises(ValueError, match="got the file"):
        write(file)
    assert file.read_text() == "mine"


def test_an_export_that_differs_from_the_encoder_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = TimmFolder.load
    monkeypatch.setattr(TimmFolder, "load", lambda *a: lambda images: (load(*a)(images)[0] + 0.01,))
    with pytest.raises(ValueError, match=r"timm does not reproduce encoder timm:mobile.* by 0.01"):
        write(tmp_path / "out")
    assert names(tmp_path) == []


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    encoder = build_encoder("smallconv:2", size=8)
    with torch.no_grad():
        next(encoder.parameters())[0] = torch.nan
    with pytest.raises(ValueError, match="features of random images are not finite"):
        jessl.export(encoder, tmp_path / "out", log=SILENT)
    assert names(tmp_path) == []


def change(folder: Path, **values: object) -> None:
    """Change jessl.json as somebody would who knows the checksums."""
    stored = json.loads((folder / "jessl.json").read_text())
    for key, value in values.items():
        inner = stored["preprocess"] if key in stored["preprocess"] else stored
        inner[key] = value
    (folder / "jessl.json").write_text(json.dumps(stored))
    write_checksums(folder, ["jessl.json", "model.safetensors"])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"encoder": "../../etc"}, "expected one of hf, timm, torchvision|unknown encoder"),
        ({"encoder": "smallconv:99999999"}, "unknown encoder 'smallconv'"),
        ({"encoder": "timm:resnet18"}, "does not fit encoder timm:resnet18"),
        ({"encoder": ["timm:resnet18"]}, "encoder: expected a name"),
        ({"size": 2**40}, "size: expected a whole number from 1 to 8192"),
        ({"std": [1, 0, 1]}, "std: expected a finite number above 0, got 0"),
        ({"mean": "0.5"}, "mean: expected a number for each channel"),
        ({"crop_share": 7}, "crop_share: expected"),
        ({"dim": 3}, "jessl.json has 3 features, its weights 1024"),
        ({"format": "pickle"}, "unknown format 'pickle'"),
        ({"jessl_export": 9}, "expected version 1 of exports, got 9"),
        ({"format": "torch"}, "a program without an architecture to load weights into"),
    ],
)
def test_a_strangers_description_is_data(
    copied: Path, values: dict[str, object], reason: str
) -> None:
    change(copied, **values)
    with pytest.raises(ValueError, match=reason) as caught:
        open_encoder(f"ckpt:{copied}")
    assert len(str(caught.value).splitlines()) == 1


def test_damaged_files_and_links_are_refused(copied: Path, tmp_path: Path) -> None:
    weights = copied / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    for use in (lambda: open_encoder(str(copied)), lambda: open_encoder(NET, init=copied)):
        with pytest.raises(ValueError, match="changed since it was written"):
            use()
    outside = weights.replace(tmp_path / "elsewhere.safetensors")
    weights.symlink_to(outside)
    with pytest.raises(ValueError, match="links in it are not followed"):
        open_encoder(str(copied))
    weights.unlink()
    with pytest.raises(ValueError, match="the export is incomplete"):
        open_encoder(str(copied))
    (copied / "jessl.json").write_text("{")
    with pytest.raises(ValueError, match=r"jessl.json: changed since it was written"):
        open_encoder(str(copied))


def test_an_export_is_no_run_and_a_program_no_encoder(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run: it is an export of an encoder"):
        jessl.Run.open(exported)
    with pytest.raises(ValueError, match="an export has its own weights and stem"):
        open_encoder(str(exported), stem="standard")
    encoder = build_encoder("smallconv:2", size=8)
    out = jessl.export(encoder, tmp_path / "p", format="torch", log=SILENT).out
    for use in (lambda: open_encoder(str(out)), lambda: open_encoder("smallconv:2", init=out)):
        with pytest.raises(ValueError, match="format torch, a program without an architecture"):
            use()


def test_onnx_models_beyond_a_file_of_protobuf_have_their_weights_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jessl.exporting.onnx_file._MOST_BYTES", 0)
    encoder = build_encoder("smallconv:2", size=8)
    result = jessl.export(encoder, tmp_path / "out", format="onnx", log=SILENT)
    assert {"model.onnx", "model.onnx.data"} <= {*result.files}
    assert result.max_abs_difference < 1e-5


def tiny_vit() -> transformers.ViTConfig:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return transformers.ViTConfig(**sizes, intermediate_size=32, image_size=32, patch_size=8)


@pytest.mark.parametrize("pooler", [True, False])
def test_models_of_transformers_stay_models_of_transformers(tmp_path: Path, pooler: bool) -> None:
    transformers.utils.logging.disable_progress_bar()
    model = transformers.ViTModel(tiny_vit(), add_pooling_layer=pooler)
    model.save_pretrained(tmp_path / "net")
    lines: list[str] = []
    result = jessl.export(
        f"hf:{tmp_path / 'net'}", tmp_path / "out", size=48, log=Log(lines.append)
    )
    assert (result.format, result.encoder) == ("transformers", "hf:net")
    [call] = [line for line in result.code if line.startswith("features")]
    assert call.endswith(".pooler_output" if pooler else ".last_hidden_state[:, 0]")
    assert "interpolate_pos_encoding=True" in call
    place = str(tmp_path).encode()
    assert not any(place in file.read_bytes() for file in result.out.iterdir())
    net, _, _ = open_encoder(f"hf:{tmp_path / 'net'}", size=48)
    again, _, _ = open_encoder(str(result.out))
    assert again.preprocess == net.preprocess
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(images), net.eval()(images))
    with pytest.raises(ValueError, match=r"give --encoder hf:.* --init pretrained"):
        open_encoder("timm:resnet18", init=result.out)


def test_a_run_with_its_projector_on_the_command_line(
    finished: jessl.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "program"
    arguments = ["export", str(finished.path), str(out)]
    assert main([*arguments, "--projector", "--format", "torch", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    objective = finished.resolved_config().objective
    assert result["source"]["run"] == finished.name
    assert result["source"]["objective"] == objective
    assert result["code"][-1] == "features, projection = net(images)"
    assert result["files"] == ["README.md", "checksums.json", "jessl.json", "model.pt2"]
    net = torch.export.load(out / "model.pt2").module()
    encoder, head, _ = open_encoder(finished)
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        features, projection = net(images)
        torch.testing.assert_close(features, encoder.eval()(images))
        torch.testing.assert_close(projection, head.eval().project(features))
    assert main(arguments) == 2
    assert "give overwrite to replace it" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    shown = capsys.readouterr()
    assert "note: format torch, as timm cannot hold smallconv:4" in shown.err
    assert f'net = torch.export.load("{out}/model.pt2").module()' in shown.out
    readme = (out / "README.md").read_text()
    assert f"| objective | {objective} |" in readme
    assert "| epochs | 3 |" in readme


def test_a_run_without_a_checkpoint(finished: jessl.Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(finished.path / "config.json", tmp_path / "run")
    with pytest.raises(ValueError, match="has no checkpoint that can be read"):
        jessl.export(tmp_path / "run", tmp_path / "out", log=SILENT)
    assert not (tmp_path / "out").exists()


def test_the_published_preprocessing_is_jessls(exported: Path) -> None:
    """The code in README.md and transformers' processor see images as jessl's embed does."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[:60, :80]
    pixels = np.stack([x * 3, y * 4, 128 + 100 * np.sin(x / 9)], axis=-1).clip(0, 255)
    image = Image.fromarray(pixels.astype(np.uint8))
    source = np.asarray(image)[None]
    net, _, _ = open_encoder(str(exported))
    (wanted,) = jessl.Loader(
        source,
        jessl.views.center_crop.central_view(32, net.preprocess.mean, net.preprocess.std),
        1,
    )
    readme = (exported / "README.md").read_text()
    code = readme.split("```python\n")[2].partition("```")[0]
    names_: dict[str, object] = {"pil_image": image}
    exec(code, names_)
    processor = transformers.AutoImageProcessor.from_pretrained(str(exported))
    for images in (names_["images"], processor(image, return_tensors="pt").pixel_values):
        assert images.shape == (1, 3, 32, 32)
        assert (images - wanted.views[0]).abs().mean() < 0.02  # of pixels with deviation 1


def test_exports_are_compared_embedded_and_trained_on(
    exported: Path, stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(stripes)]
    arguments = ["select", "--encoders", str(exported), f"ckpt:{exported}", *data]
    arguments += ["--view-images", "0", "--out", str(tmp_path / "table")]
    assert main([*arguments, "--json"]) == 0
    shown = capsys.readouterr()
    # one net under two names
    assert f"{exported} with another name: both share one row" in shown.err
    assert "failed: " not in shown.err
    assert main(["embed", str(exported), *data, "--out", str(tmp_path / "z"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == {"backbone": [96, 1024]}
    meta = jessl.Embeddings.load(tmp_path / "z").meta
    assert meta["weights"] == "export net, format timm"
    config = {"encoder": NET, "size": 32, "epochs": 1, "batch_size": 96, "init": str(exported)}
    config |= {"lr": 1e-9, "tune": False, "precision": "float32"}
    run = jessl.pretrain(
        jessl.Pretrain(data=str(stripes), out=str(tmp_path / "run"), **config), quiet=True
    )
    weights, _, _ = open_encoder(str(exported))
    trained, _, _ = open_encoder(run)
    for one, two in zip(weights.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
