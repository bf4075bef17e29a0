"""Encoders: any name gives [batch, dim]; weights are data and must fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from jessl.encoders import build_encoder, load_weights, read_weights, seeded


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
        with pytest.raises(ValueError, match="has no linear head to cut"):
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
    with pytest.raises(ValueError, match="stem 'small' is for ResNets"):
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
    assert load_weights(target, tmp_path / "w.pt") == []
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
    ("name", "said"),
    [
        ("timm:resnet1", "did you mean"),
        ("torchvision:reznet18", "did you mean 'resnet18'"),
        ("tim:resnet18", "did you mean 'timm'"),
        ("resnet18", "write timm:resnet18"),
        ("timm:", "lacks a model"),
        ("smallconv:wide", "takes a width"),
    ],
)
def test_unknown_names_come_with_near_ones(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build_encoder(name)
