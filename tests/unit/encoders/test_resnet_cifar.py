"""Encoders with others' definitions: ResNets for CIFAR-10, and models of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
import transformers
from torch import nn

import jessl
from jessl.core.random import seeded
from jessl.encoders import build_encoder, load_weights
from jessl.encoders.nets.resnet_cifar import LAYERS
from jessl.extraction.open_encoder import open_encoder

FILES = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


# trainable numbers in the table of akamaster/pytorch_resnet_cifar10, heads of 650 included
PARAMETERS = {20: 0.27e6, 32: 0.46e6, 44: 0.66e6, 56: 0.85e6, 110: 1.7e6}


@pytest.mark.parametrize("layers", LAYERS)
def test_sizes_are_those_of_the_paper(layers: int) -> None:
    encoder = build_encoder(f"resnet_cifar:{layers}").eval()
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == layers - 1  # the head is the last layer
    numbers = sum(p.numel() for p in encoder.parameters()) + 650
    assert numbers == pytest.approx(PARAMETERS[layers], rel=0.03)
    assert (encoder.dim, encoder.stem, encoder.preprocess.size) == (64, "small", 32)
    assert (encoder.preprocess.mean, encoder.preprocess.std) == IMAGENET
    with torch.no_grad():
        assert encoder(torch.randn(2, 3, 48, 48)).shape == (2, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "standard"}, "leave stem out"),
        ({"pretrained": True}, "give a file or random to --init"),
        ({"size": 4}, "at least 8 pixels a side, got 4"),
    ],
)
def test_what_it_cannot_be_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_encoder("resnet_cifar:20", **options)


def _direct(state: dict[str, torch.Tensor], x: torch.Tensor, blocks: int) -> torch.Tensor:
    """The paper's net by functions alone, from the tensors of the published file."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = [state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return nn.functional.batch_norm(x, *parts)

    x = torch.relu(norm(nn.functional.conv2d(x, state["conv1.weight"], padding=1), "bn1"))
    for stage in (1, 2, 3):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            first = state[f"{at}.conv1.weight"]
            y = torch.relu(norm(nn.functional.conv2d(x, first, None, stride, 1), f"{at}.bn1"))
            y = norm(nn.functional.conv2d(y, state[f"{at}.conv2.weight"], padding=1), f"{at}.bn2")
            if stride == 2:
                old = x[:, :, ::2, ::2]
                x = torch.zeros_like(y)
                more = (y.shape[1] - old.shape[1]) // 2
                x[:, more : more + old.shape[1]] = old
            x = torch.relu(x + y)
    return nn.functional.avg_pool2d(x, 8).flatten(1)


@pytest.mark.parametrize("layers", FILES)
def test_published_weights_give_the_features_of_the_published_net(
    layers: int, shared_data: ModuleType
) -> None:
    file = Path(shared_data.__file__).parent / "encoders" / FILES[layers]
    held = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    state = {k.removeprefix("module."): v for k, v in held.items()}
    net, _, provenance = open_encoder(f"ckpt:{file}")
    assert net.name == f"resnet_cifar:{layers}"
    assert provenance["weights_report"]["prefix"] == "state_dict.module."
    assert provenance["weights_report"]["aside"] == 2  # the head
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result, wanted = net.eval()(x), _direct(state, x, (layers - 2) // 6)
    torch.testing.assert_close(result, wanted, rtol=1e-5, atol=1e-6)
    named, _, _ = open_encoder(str(file), arch=f"resnet_cifar:{layers}")
    with seeded(0):
        loaded = build_encoder(f"resnet_cifar:{layers}")
    load_weights(loaded, file)
    with torch.no_grad():
        assert torch.equal(named.eval()(x), result)
        assert torch.equal(loaded.eval()(x), result)


def _vit() -> transformers.ViTConfig:
    return transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )


def _saved(model: transformers.PreTrainedModel, folder: Path) -> Path:
    """As save_pretrained leaves it; its bar writes into the tests' output."""
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def test_a_vit_of_transformers_by_its_class_token_or_its_pooler(tmp_path: Path) -> None:
    x = torch.randn(2, 3, 32, 32)
    whole = transformers.ViTModel(_vit()).eval()
    net, _, provenance = open_encoder(f"hf:{_saved(whole, tmp_path / 'whole')}")
    assert net.dim == 16
    assert "the model's pooled output" in provenance["weights_report"]["summary"]
    with torch.no_grad():
        assert torch.equal(net.eval()(x), whole(x, interpolate_pos_encoding=True).pooler_output)
    # of a classifier there is no pooler: transformers would make one of random weights
    classifier = transformers.ViTForImageClassification(_vit()).eval()
    net, _, provenance = open_encoder(f"hf:{_saved(classifier, tmp_path / 'classifier')}")
    assert "the class token (2 weights of a pooler" in provenance["weights_report"]["summary"]
    with torch.no_grad():
        wanted = classifier.vit(x, interpolate_pos_encoding=True).last_hidden_state[:, 0]
        assert torch.equal(net.eval()(x), wanted)
        assert net(torch.randn(2, 3, 64, 64)).shape == (2, 16)


def test_a_resnet_of_transformers_with_its_image_processor(tmp_path: Path) -> None:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    model = transformers.ResNetModel(config).eval()
    folder = _saved(model, tmp_path / "net")
    processor = {
        "do_center_crop": True,
        "crop_size": {"height": 40, "width": 40},
        "size": {"shortest_edge": 50},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    net, _, _ = open_encoder(f"hf:{folder}")
    p = net.preprocess
    assert (p.size, p.crop_share, p.mean, p.std) == (40, 0.8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    x = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        assert torch.equal(net.eval()(x), model(x).pooler_output.flatten(1))
    images = torch.randint(0, 256, (6, 48, 48, 3), dtype=torch.uint8).numpy()
    embedded = jessl.embed(f"hf:{folder}", images)
    assert isinstance(embedded, jessl.Embeddings)
    assert (embedded.n, embedded.d) == (6, 16)
    random, _, provenance = open_encoder(f"hf:{folder}", init="random", size=64)
    assert provenance["weights"] == "random, seed 0"
    assert random.preprocess.size == 64


def test_a_masked_autoencoder_sees_all_of_an_image(tmp_path: Path) -> None:
    config = transformers.ViTMAEConfig(**{**_vit().to_dict(), "mask_ratio": 0.75})
    folder = _saved(transformers.ViTMAEModel(config), tmp_path / "mae")
    net, _, provenance = open_encoder(f"hf:{folder}")
    assert "the class token" in provenance["weights_report"]["summary"]
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), net(x), rtol=1e-4, atol=1e-5)


def test_what_transformers_cannot_load_safely_is_one_line(tmp_path: Path) -> None:
    folder = _saved(transformers.ViTModel(_vit()), tmp_path / "net")
    weights = (folder / "model.safetensors").read_bytes()
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    refused = []

    def refuse(message: str) -> None:
        with pytest.raises(ValueError, match=message) as error:
            open_encoder(f"hf:{folder}")
        assert "\n" not in str(error.value)
        refused.append(message)

    refuse("cannot be loaded: .*model.safetensors")
    (folder / "model.safetensors").write_bytes(weights[:2000])
    refuse("cannot be loaded")
    (folder / "model.safetensors").write_bytes(weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    refuse("tensors are missing from its weights")
    code = {**config, "model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(code))
    (folder / "own.py").write_text("raise SystemExit('code was run')\n")
    refuse("cannot be loaded")
    assert len(refused) == 4
