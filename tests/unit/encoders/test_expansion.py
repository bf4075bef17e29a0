"""`dim`: any encoder represents in as many features as asked; its body stays the library's."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from jessl.core.log import Log
from jessl.core.random import seeded
from jessl.encoders import Encoder, build_encoder, load_weights
from jessl.encoders.expansion import Expansion, feature_map, has_feature_map

RESNETS = [
    ("smallconv:8", 8, None),
    ("timm:resnet18", 32, None),
    ("timm:resnet18", 32, "standard"),
    ("timm:resnet26d", 32, None),
    ("torchvision:resnet18", 32, None),
]
VIT = ("timm:vit_tiny_patch16_224", 32, None)


def _built(name: str, size: int, stem: str | None, dim: int | None, seed: int = 0) -> Encoder:
    with seeded(seed):
        return build_encoder(name, size=size, stem=stem, dim=dim)


@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("dim", [12, 24, 29, 64])
def test_a_branch_of_zeros_leaves_the_tiled_input(planes: bool, dim: int) -> None:
    """Known answer (issl, BottleneckExpand with its last convolution and norm at zero)."""
    block = Expansion(12, dim, planes=planes).train()
    for parameter in [*block.branch[-1].parameters(), *block.branch[-2].parameters()]:
        torch.nn.init.zeros_(parameter)
    x = torch.randn(6, 12, 3, 2) if planes else torch.randn(6, 12)
    out = block(x)
    assert out.shape[:2] == (6, dim)
    for channel in range(dim):
        assert torch.equal(out[:, channel], x[:, channel % 12].relu())


def test_fewer_features_than_channels_see_all_channels() -> None:
    block = Expansion(12, 5, planes=True).eval()
    x = torch.randn(6, 12, 3, 2, requires_grad=True)
    assert block.shortcut is not None
    torch.nn.init.zeros_(block.branch[-1].weight)
    assert torch.equal(block(x), block.shortcut(x).relu())
    block(x).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax(dim=(0, 2, 3)) > 0).all()


@pytest.mark.parametrize(("name", "size", "stem"), [*RESNETS, VIT])
def test_any_encoder_has_the_features_asked_for(name: str, size: int, stem: str | None) -> None:
    x = torch.randn(4, 3, size, size)
    for dim in (64, 700, 1000):
        encoder = _built(name, size, stem, dim).train()
        assert (encoder.dim, encoder.name, encoder.preprocess.size) == (dim, name, size)
        h = encoder(x)
        assert h.shape == (4, dim)
        assert encoder.eval()(x).shape == (4, dim)
        assert (h >= 0).all()
        h.square().sum().backward()
        assert encoder.expansion is not None
        learning = [next(encoder.body.parameters())]
        learning += [p for p in encoder.expansion.parameters() if p.ndim > 1]
        assert len(learning) >= 3
        for p in learning:
            assert p.grad is not None
            assert p.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "size", "stem"), [*RESNETS, VIT])
def test_the_body_stays_what_it_was(name: str, size: int, stem: str | None) -> None:
    plain, wide = _built(name, size, stem, None).eval(), _built(name, size, stem, 96).eval()
    theirs, own = plain.body.state_dict(), wide.body.state_dict()
    assert list(theirs) == list(own)
    assert all(torch.equal(v, own[k]) for k, v in theirs.items())
    assert plain.expansion is None
    assert {k.split(".")[0] for k in wide.state_dict()} == {"body", "expansion"}
    assert wide.stem == plain.stem


@pytest.mark.parametrize(("name", "size", "stem"), RESNETS)
def test_the_block_takes_what_the_pooling_takes(name: str, size: int, stem: str | None) -> None:
    encoder = _built(name, size, stem, None).eval()
    x = torch.randn(2, 3, 2 * size, 2 * size)
    assert has_feature_map(encoder.body)
    with torch.no_grad():
        channels = feature_map(encoder.body, x)
        assert channels.shape[2] > 1
        torch.testing.assert_close(channels.mean(dim=(2, 3)), encoder(x))
        wide = _built(name, size, stem, 96).eval()
        assert wide.expansion is not None
        late = wide.expansion(channels.mean(dim=(2, 3), keepdim=True))[:, :, 0, 0]
        assert not torch.allclose(wide(x), late, rtol=1e-3)
        torch.testing.assert_close(wide(x), wide.expansion(channels).mean(dim=(2, 3)))


def test_other_encoders_widen_their_vectors() -> None:
    encoder = _built(*VIT, dim=300)
    assert not has_feature_map(encoder.body)
    assert encoder.expansion is not None
    assert not encoder.expansion.planes
    assert not any(isinstance(m, torch.nn.Conv2d) for m in encoder.expansion.modules())


def test_the_features_span_more_dimensions_than_the_body_gives() -> None:
    x = torch.randn(400, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for dim, rank in ((None, 8), (64, 64)):
            h = _built("smallconv:1", 8, None, dim).train()(x)
            assert torch.linalg.matrix_rank(h.double()) == rank


def test_the_size_of_the_images_may_differ_from_view_to_view() -> None:
    encoder = _built("torchvision:resnet18", 32, None, 600).train()
    assert encoder(torch.randn(2, 3, 48, 48)).shape == (2, 600)
    assert encoder(torch.randn(2, 3, 24, 24)).shape == (2, 600)


def test_weights_come_from_the_seed_alone() -> None:
    a, b, c = (_built("smallconv:4", 8, None, 100, seed) for seed in (0, 0, 1))
    states = [m.state_dict() for m in (a, b, c)]
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    key = "expansion.branch.0.weight"
    assert not torch.equal(states[0][key], states[2][key])


def test_a_copy_is_its_own() -> None:
    encoder = _built("smallconv:4", 8, None, 100).eval()
    twin = copy.deepcopy(encoder)
    x = torch.randn(2, 3, 8, 8)
    before = encoder(x)
    assert torch.equal(twin(x), before)
    assert twin.expansion is not None
    torch.nn.init.zeros_(twin.expansion.branch[0].weight)
    assert torch.equal(encoder(x), before)
    assert not torch.equal(twin(x), before)


@pytest.mark.parametrize("prefix", ["", "encoder.body.", "module.backbone."])
def test_weights_of_the_body_alone_load(tmp_path: Path, prefix: str) -> None:
    source, target = _built("smallconv:4", 8, None, None, 1), _built("smallconv:4", 8, None, 50, 2)
    file = tmp_path / "body.safetensors"
    save_file({prefix + k: v for k, v in source.body.state_dict().items()}, file)
    assert target.expansion is not None
    before = {k: v.clone() for k, v in target.expansion.state_dict().items()}
    lines: list[str] = []
    assert load_weights(target, file, log=Log(lines.append)).unused == ()
    assert lines == [f"{file} has no expansion to 50 features: its weights stay random"]
    assert all(torch.equal(v, target.body.state_dict()[k]) for k, v in
               source.body.state_dict().items())  # fmt: skip
    assert all(torch.equal(v, before[k]) for k, v in target.expansion.state_dict().items())


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.encoder."])
def test_weights_with_a_block_load_it(tmp_path: Path, prefix: str) -> None:
    source, target = _built("smallconv:4", 8, None, 50, 1), _built("smallconv:4", 8, None, 50, 2)
    plain = _built("smallconv:4", 8, None, None, 3)
    file = tmp_path / "run.safetensors"
    save_file({prefix + k: v for k, v in source.state_dict().items()}, file)
    lines: list[str] = []
    assert load_weights(target, file, log=Log(lines.append)).unused == ()
    assert lines == []
    wanted = source.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in target.state_dict().items())
    # an encoder without a block takes the body and says what it leaves
    unused = load_weights(plain, file).unused
    assert "expansion.branch.0.weight" in unused
    assert len(unused) == len([k for k in wanted if k.startswith("expansion.")])
    assert all(torch.equal(v, wanted[k]) for k, v in plain.state_dict().items())


def test_a_block_that_does_not_fit_is_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    source, target = _built("smallconv:4", 8, None, 50, 1), _built("smallconv:4", 8, None, 60, 2)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    tensors = source.state_dict()
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"expansion\.branch\.6\.weight is \[50, 32, 1, 1\] in"):
        load_weights(target, tmp_path / "a.safetensors")
    less = {k: v for k, v in tensors.items() if k != "expansion.branch.0.weight"}
    save_file(less, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"missing, first 'expansion\.branch\.0\.weight'"):
        load_weights(target, tmp_path / "b.safetensors")
    assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        (0, "dim: expected a whole number of at least 1, got 0"),
        (-5, "dim: expected a whole number of at least 1, got -5"),
        (2.5, "dim: expected a whole number of at least 1, got 2.5"),
        ("many", "dim: expected a whole number of at least 1, got 'many'"),
        (True, "dim: expected a whole number of at least 1, got True"),
    ],
)
def test_what_is_no_number_of_features_is_refused(dim: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        build_encoder("smallconv", dim=dim)
    assert "\n" not in str(error.value)
