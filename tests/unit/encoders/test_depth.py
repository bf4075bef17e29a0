"""The depth of parameters, against timm's own groups and known orders."""

from __future__ import annotations

import pytest
import timm
from timm.optim import param_groups_layer_decay
from torch import nn
from torchvision.models import VisionTransformer

from jessl.encoders import Encoder, Preprocess, build_encoder
from jessl.encoders.depth import parameter_depths


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18"])
def test_depths_of_timm_are_those_of_its_groups(name: str) -> None:
    """Of timm's own layer-wise rates for the model with a head, which is one deeper than all."""
    whole = timm.create_model(name, num_classes=5)
    depths = parameter_depths(build_encoder(f"timm:{name}", size=64, stem="standard"))
    scale = {
        id(p): group["lr_scale"]
        for group in param_groups_layer_decay(whole, layer_decay=0.5)
        for p in group["params"]
    }
    last = max(depths.values()) + 1
    shared = [(k, p) for k, p in whole.named_parameters() if f"body.{k}" in depths]
    assert len(shared) == len(depths)
    for key, parameter in shared:
        assert scale[id(parameter)] == 0.5 ** (last - depths[f"body.{key}"]), key


@pytest.mark.parametrize(
    ("name", "size", "blocks", "some"),
    [
        ("smallconv:4", 16, 4, {"layers.0.weight": 0, "layers.1.bias": 0, "layers.9.weight": 3}),
        ("airbench:8", 16, 7, {"layers.0.weight": 0, "layers.2.weight": 1}),
        ("resnet_cifar:20", 16, 10, {"conv1.weight": 0, "layer1.0.conv1.weight": 1}),
        ("torchvision:resnet18", 32, 9, {"bn1.weight": 0, "layer4.1.conv2.weight": 8}),
    ],
)
def test_blocks_are_counted_in_their_order(
    name: str, size: int, blocks: int, some: dict[str, int]
) -> None:
    _check(build_encoder(name, size=size), blocks, some)


def test_the_list_of_a_transformer_is_opened() -> None:
    body = VisionTransformer(8, 2, num_layers=2, num_heads=1, hidden_dim=8, mlp_dim=16)
    body.heads = nn.Identity()
    encoder = Encoder(
        body, dim=8, preprocess=Preprocess(8, (0, 0, 0), (1, 1, 1)), name="vit", stem="standard"
    )
    some = {
        "class_token": 0,
        "conv_proj.weight": 0,
        "encoder.pos_embedding": 0,
        "encoder.layers.encoder_layer_0.mlp.0.weight": 1,
        "encoder.layers.encoder_layer_1.ln_1.weight": 2,
        "encoder.ln.weight": 2,
    }
    _check(encoder, 3, some)


def _check(encoder: Encoder, blocks: int, some: dict[str, int]) -> None:
    depths = parameter_depths(encoder)
    assert depths.keys() == dict(encoder.named_parameters()).keys()
    assert set(depths.values()) == set(range(blocks))
    assert {k: depths[f"body.{k}"] for k in some} == some


def test_an_expansion_is_the_last_block() -> None:
    depths = parameter_depths(build_encoder("smallconv:4", size=16, dim=64))
    assert {v for k, v in depths.items() if k.startswith("expansion.")} == {4}
