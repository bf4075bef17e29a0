"""Encoders: any name gives [batch, dim]; weights are data and must fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import jessl
from helpers.run_samples import small_config
from jessl import Run
from jessl.cli.main import main
from jessl.core.checksums import write_checksums
from jessl.core.random import seeded
from jessl.encoders import build_encoder, load_weights, read_weights
from jessl.encoders.checkpoints.infer_architecture import infer_architecture
from jessl.encoders.checkpoints.open_checkpoint import (
    CheckpointFile,
    open_checkpoint,
    parse_checkpoint,
)
from jessl.extraction.open_encoder import open_encoder, weights_file
from jessl.training import checkpoint


@pytest.mark.parametrize(
    ("name", "size", "dim", "stem"),
    [
        ("smallconv", 32, 256, "small"),
        ("smallconv:8", 8, 64, "small"),
        ("smallconv:4", 96, 32, "small"),
        ("timm:resnet18", 32, 512, "small"),
        ("timm:resnet26d", 32, 2048, "small"),
        ("timm:resnet18", 96, 512, "standard"),
        ("timm:vit_tiny_patch16_224", 64, 192, "standard"),
        ("timm:convnext_atto", 64, 320, "standard"),
        ("torchvision:resnet18", 32, 512, "small"),
        ("torchvision:mobilenet_v3_small", 64, 1024, "standard"),
        ("torchvision:googlenet", 64, 1024, "standard"),
        ("timm:mobilenetv3_small_050", 64, 1024, "standard"),
        ("torchvision:squeezenet1_0", 64, None, "standard"),
    ],
)
def test_shapes(name: str, size: int, dim: int | None, stem: str) -> None:
    if dim is None:
        with pytest.raises(ValueError, match="has no linear head to remove"):
            build_encoder(name, size=size)
        return
    encoder = build_encoder(name, size=size).eval()
    assert (encoder.dim, encoder.stem, encoder.preprocess.size) == (dim, stem, size)
    x = torch.randn(2, 3, size, size)
    assert encoder(x).shape == (2, dim)
    assert encoder.train()(x).shape == (2, dim)
    assert len(encoder.preprocess.mean) == len(encoder.preprocess.std) == 3


def test_the_small_stem_can_be_overridden() -> None:
    small = build_encoder("timm:resnet18", size=96, stem="small")
    standard = build_encoder("timm:resnet18", size=32, stem="standard")
    assert small.body.conv1.kernel_size == (3, 3)
    assert small.body.conv1.stride == (1, 1)
    assert isinstance(small.body.maxpool, torch.nn.Identity)
    assert standard.body.conv1.kernel_size == (7, 7)
    with pytest.raises(ValueError, match="stem: 'small' is for ResNets"):
        build_encoder("timm:vit_tiny_patch16_224", size=64, stem="small")


def test_weights_come_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    nets = []
    for seed in (0, 0, 1):
        with seeded(seed):
            nets.append(build_encoder("smallconv:4"))
    assert torch.equal(before, torch.get_rng_state())
    a, b, c = (next(n.parameters()) for n in nets)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.body.", "module.backbone."])
@pytest.mark.parametrize("wrapper", [None, "state_dict"])
def test_weights_of_other_trainers_load(tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    with seeded(3):
        source = build_encoder("smallconv:4")
    tensors = {prefix + k: v for k, v in source.body.state_dict().items()}
    tensors[f"{prefix}fc.weight"] = torch.zeros(10, 32)
    torch.save({wrapper: tensors} if wrapper else tensors, tmp_path / "w.pt")
    target = build_encoder("smallconv:4")
    report = load_weights(target, tmp_path / "w.pt")
    assert report.unused == ()
    assert report.aside == 1
    assert report.matched == report.wanted == 20
    assert report.prefix == (f"{wrapper}.{prefix}" if wrapper else prefix)
    for k, v in source.body.state_dict().items():
        assert torch.equal(target.body.state_dict()[k], v)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    encoder = build_encoder("smallconv:4")
    tensors = encoder.body.state_dict()
    first = next(iter(tensors))
    save_file({k: v for k, v in tensors.items() if k != first}, tmp_path / "less.safetensors")
    with pytest.raises(ValueError, match=f"tensors are missing, first '{first}'"):
        load_weights(encoder, tmp_path / "less.safetensors")
    save_file({**tensors, first: torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"is \[2, 2\] in the file"):
        load_weights(encoder, tmp_path / "other.safetensors")
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "less.safetensors").read_bytes()[:99])
    for name in ("torn.safetensors", "nothing.pt"):
        with pytest.raises(ValueError, match=name):
            read_weights(tmp_path / name)


def test_code_in_weights_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (marker,))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="would run code on loading"):
        read_weights(tmp_path / "evil.pt")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet1", "did you mean"),
        ("torchvision:reznet18", "did you mean 'resnet18'"),
        ("tim:resnet18", "did you mean 'timm'"),
        ("resnet18", "write timm:resnet18"),
        ("timm:", "expected timm:NAME with a model"),
        ("smallconv:wide", "expected a width"),
        ("resnet_cifar:21", "resnet_cifar:20, resnet_cifar:32"),
        ("ckpt:w.pth", "give the file to --init"),
        ("hf:", "expected hf:NAME with a model"),
    ],
)
def test_unknown_names_come_with_near_ones(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_encoder(name)


def _named(name: str, prefix: str = "", **options: object) -> dict[str, torch.Tensor]:
    """Names and shapes of a net's tensors, no numbers."""
    with torch.device("meta"):
        body = build_encoder(name, **options).body  # type: ignore[arg-type]
    return {prefix + k: v for k, v in body.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "size", "arch", "stem"),
    [
        ("timm:resnet18", 32, "torchvision:resnet18", "small"),
        ("timm:resnet18", None, "torchvision:resnet18", "standard"),
        ("torchvision:resnet34", None, "torchvision:resnet34", "standard"),
        ("timm:resnet50", 32, "torchvision:resnet50", "small"),
        ("torchvision:resnet101", None, "torchvision:resnet101", "standard"),
        ("torchvision:resnet152", None, "torchvision:resnet152", "standard"),
        ("torchvision:mobilenet_v2", None, "torchvision:mobilenet_v2", None),
        ("resnet_cifar:32", None, "resnet_cifar:32", None),
        ("timm:vit_tiny_patch16_384", 384, "timm:vit_tiny_patch16_224", None),
        ("timm:vit_small_patch8_224", 224, "timm:vit_small_patch8_224", None),
        ("timm:vit_base_patch32_224", 224, "timm:vit_base_patch32_224", None),
        ("timm:vit_large_patch16_224", 224, "timm:vit_large_patch16_224", None),
    ],
)
def test_nets_are_told_by_their_tensors(
    name: str, size: int | None, arch: str, stem: str | None
) -> None:
    tensors = {**_named(name, "module.net.", size=size), "module.head.weight": torch.zeros(3)}
    guess = infer_architecture(tensors, "w.pth")
    assert (guess.arch, guess.stem) == (arch, stem)
    if "vit" in name:
        assert guess.size == size
        assert "number of heads" in guess.notes[0]


def test_nets_that_are_in_doubt_are_refused() -> None:
    deep = _named("torchvision:resnet34", "net.")
    torn = {k: v for k, v in deep.items() if k != "net.layer3.5.conv1.weight"}
    with pytest.raises(
        ValueError, match=r"resnet18 and others in its layers, first 'net\.layer1\.2"
    ):
        infer_architecture(torn, "w.pth")
    with pytest.raises(ValueError, match=r"has 126 tensors that match no known net\. ResNet-18 to"):
        infer_architecture(_named("timm:convnext_atto"), "w.pth")
    two = {**_named("torchvision:resnet50", "teacher."), **_named("timm:resnet18", "student.")}
    with pytest.raises(ValueError, match=r"resnet50 under 'teacher\.', torchvision:resnet18 under"):
        infer_architecture(two, "w.pth")
    assert infer_architecture(two, "w.pth", "student").arch == "torchvision:resnet18"
    with pytest.raises(ValueError, match=r"under key 'zz'; those of torchvision:resnet18 are unde"):
        infer_architecture(two, "w.pth", "zz")


def test_the_small_vit_of_moco_v3_is_not_taken_for_that_of_timm(tmp_path: Path) -> None:
    body = build_encoder("timm:vit_small_patch16_224", size=32).body
    tensors = {f"module.base_encoder.{k}": v for k, v in body.state_dict().items()}
    torch.save({"state_dict": tensors}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="has 12 heads of attention"):
        open_checkpoint(CheckpointFile(tmp_path / "w.pth"))
    named = CheckpointFile(tmp_path / "w.pth", "timm:vit_small_patch16_224")
    _, report = open_checkpoint(named, size=32)
    assert "MoCo v3's small ViT has 12 heads" in report.notes[0]


def test_specs_of_files(tmp_path: Path) -> None:
    plain, odd = tmp_path / "w.pth", tmp_path / "a@b#c.pth"
    for path in (plain, odd):
        path.touch()
    for path in (plain, odd):
        for arch in (None, "timm:resnet18"):
            for key in (None, "module.encoder_k."):
                spec = f"ckpt:{path}" + (f"@{arch}" if arch else "") + (f"#{key}" if key else "")
                assert parse_checkpoint(spec) == CheckpointFile(path, arch, key)
    assert parse_checkpoint(plain) == CheckpointFile(plain)
    assert parse_checkpoint(str(plain), "timm:resnet18", "k") == CheckpointFile(
        plain, "timm:resnet18", "k"
    )
    assert parse_checkpoint("timm:resnet18") is None
    with pytest.raises(ValueError, match=r"arch 'smallconv': .* names one already"):
        parse_checkpoint(f"ckpt:{plain}@timm:resnet18", "smallconv")
    with pytest.raises(ValueError, match=r"expected ckpt:PATH, .*nope\.pth is no file"):
        parse_checkpoint(f"ckpt:{tmp_path}/nope.pth@timm:resnet18")
    with pytest.raises(ValueError, match="is a folder"):
        parse_checkpoint(f"ckpt:{tmp_path}")


@pytest.mark.parametrize(("size", "stem"), [(32, "small"), (None, "standard")])
@pytest.mark.parametrize("arch", [None, "timm:resnet18"])
def test_a_file_is_an_encoder_with_the_stem_that_it_has(
    size: int | None, stem: str, arch: str | None, tmp_path: Path
) -> None:
    with seeded(4):
        source = build_encoder("timm:resnet18", size=size).eval()
    tensors = {f"backbone.{k}": v for k, v in source.body.state_dict().items()}
    torch.save({"state_dict": tensors}, tmp_path / "w.ckpt")
    net, objective, provenance = open_encoder(tmp_path / "w.ckpt", arch=arch)
    assert objective is None
    assert (net.stem, net.preprocess.size) == (stem, size or 224)
    assert provenance["weights_report"]["prefix"] == "state_dict.backbone."
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.eval()(x), source(x))
    notes = " ".join(provenance["weights_report"]["notes"])
    assert ("architecture inferred: torchvision:resnet18" in notes) == (arch is None)
    assert ("solo-learn pads by 2" in notes) == (stem == "small")


def test_embed_takes_a_file_and_tells(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.safetensors"
    with seeded(4):
        body = build_encoder("resnet_cifar:20").body
    pair = {f"{who}.{k}": v + (who == "b") for who in "ab" for k, v in body.state_dict().items()}
    save_file(pair, file)
    for k, options in enumerate((["--arch", "resnet_cifar:20"], ["--key", "b"])):
        out = tmp_path / f"out-{k}"
        args = ["embed", str(file), "--data", str(stripes), "--out", str(out), "--json"]
        assert main([*args, *options]) == 0
        message = capsys.readouterr()
        assert f"note: {file} (plain names): 95 of 95 tensors under '{'ab'[k]}.'" in message.err
        assert json.loads(message.out)["layers"] == {"backbone": [96, 64]}
        report = jessl.Embeddings.load(out).meta["weights_report"]
        assert report["others"] == ["ba"[k] + "."]
    args = ["embed", "timm:resnet18", "--data", str(stripes), "--out", str(tmp_path / "no")]
    assert main([*args, "--init", "random", "--key", "b"]) == 2
    assert "key 'b' is for a file of weights" in capsys.readouterr().err
    assert main(["embed", str(file), *args[2:], "--init", "random"]) == 2
    assert "has its own weights: leave init out" in capsys.readouterr().err


def test_a_checkpoint_of_a_run_is_an_encoder(finished: Run, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(finished.path, tmp_path / "run"))
    (*_, (step, path)) = checkpoint.steps(run.checkpoints)
    earlier = path.with_name("step-000000001")
    shutil.copytree(path, earlier)
    tensors = checkpoint.load(path).tensors
    first = next(k for k in tensors if k.startswith("encoder.body.") and tensors[k].ndim)
    save_file({**tensors, first: tensors[first] + 1}, earlier / checkpoint.MODEL)
    write_checksums(earlier, (checkpoint.MODEL, checkpoint.STATE))
    newest, _, _ = open_encoder(run)
    at_end, objective, provenance = open_encoder(path)
    other, _, _ = open_encoder(str(earlier) + "/")
    assert objective is not None
    assert provenance["weights"] == f"run run, step {step}"
    ends = (newest.state_dict(), at_end.state_dict(), other.state_dict())
    assert all(torch.equal(ends[0][k], v) for k, v in ends[1].items())
    name = first.removeprefix("encoder.")
    assert torch.equal(ends[2][name], ends[0][name] + 1)
    assert run.resolved_config().encoder is not None
    by_init, _, _ = open_encoder(
        str(run.resolved_config().encoder),
        init=earlier,
        stem=run.resolved_config().stem,
        size=run.resolved_config().size,
    )
    assert torch.equal(by_init.state_dict()[name], ends[2][name])
    with pytest.raises(ValueError, match="arch 'smallconv' is for a file of weights"):
        open_encoder(path, arch="smallconv")
    (earlier / checkpoint.MODEL).write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"cannot read checkpoint .*step-000000001") as error:
        open_encoder(earlier)
    assert "\n" not in str(error.value)


def test_of_a_run_with_a_teacher_the_encoder_is_taken(stripes: Path, tmp_path: Path) -> None:
    config = small_config(stripes, tmp_path / "run", objective="byol", views="byol", epochs=1)
    run = jessl.pretrain(config, quiet=True)
    file = weights_file(run.path)
    encoder, _, _ = open_encoder(run)
    other = build_encoder(encoder.name, size=encoder.preprocess.size)
    report = load_weights(other, file)
    assert report.prefix == "encoder.body."
    assert len(report.others) == 1
    assert "teacher" in report.others[0]
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in encoder.state_dict().items())
