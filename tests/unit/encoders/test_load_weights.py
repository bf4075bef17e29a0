"""Checkpoints as other libraries write them: read whole, told, or refused in one line."""

from __future__ import annotations

import argparse
import pickle
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from jessl.core.random import seeded
from jessl.encoders import build_encoder, load_weights, read_weights
from jessl.encoders.checkpoints.load_weights import load_tensors
from jessl.encoders.checkpoints.reading import flatten_tensors
from jessl.encoders.load_report import summary_of

State = dict[str, torch.Tensor]


def _net(seed: int) -> nn.Module:
    """A ResNet-18 of torchvision whose running statistics are not those of a new net."""
    with seeded(seed):
        net = torchvision.models.resnet18()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return net.eval()


@pytest.fixture(scope="module")
def nets() -> tuple[nn.Module, nn.Module]:
    """The net that is wanted, and the other one of pairs."""
    return _net(1), _net(2)


def _under(prefix: str, net: nn.Module, *, head: bool = False) -> State:
    return {prefix + k: v for k, v in net.state_dict().items() if head or not k.startswith("fc.")}


def _sequential(net: nn.Module) -> nn.Module:
    """As lightly's tutorials take a backbone."""
    return nn.Sequential(*list(net.children())[:-1])


def _lightly_own(net: nn.Module, prefix: str) -> State:
    """As `lightly/models/resnet.py` names a block, cut as above: no child for relu or max-pool."""
    numbers = {"conv1": 0, "bn1": 1, "layer1": 2, "layer2": 3, "layer3": 4, "layer4": 5}
    state = {}
    for name, tensor in _under("", net).items():
        child, _, rest = name.partition(".")
        rest = rest.replace("downsample.", "shortcut.")
        state[f"{prefix}{numbers[child]}.{rest}"] = tensor
    return state


PROJECTOR = {"0.weight": torch.ones(8, 512), "1.running_mean": torch.zeros(8)}


def _projector(prefix: str) -> State:
    return {prefix + k: v for k, v in PROJECTOR.items()}


def _lightning(state: State) -> dict[str, Any]:
    moments = {0: {"momentum_buffer": torch.zeros(3)}}
    return {
        "epoch": 9,
        "pytorch-lightning_version": "2.1.2",
        "state_dict": state,
        "optimizer_states": [{"state": moments}],
        "hyper_parameters": {"method": "x", "lr": 0.3},
    }


# library -> (what is in a file of net a and its twin b, prefix, prefixes that fit as well)
FORMATS: dict[str, tuple[Callable[[nn.Module, nn.Module], dict], str, tuple[str, ...]]] = {
    "torchvision": (lambda a, _b: _under("", a, head=True), "", ()),
    "solo-learn": (
        lambda a, b: _lightning(
            {
                **_under("momentum_backbone.", b),
                **_under("backbone.", a),
                **_projector("projector."),
                "classifier.weight": torch.zeros(10, 512),
            }
        ),
        "state_dict.backbone.",
        ("state_dict.momentum_backbone.",),
    ),
    "solo-learn, before 2022": (
        lambda a, _b: _lightning({**_under("encoder.", a), **_projector("projector.")}),
        "state_dict.encoder.",
        (),
    ),
    "lightly": (
        lambda a, _b: _lightning(
            {**_under("backbone.", _sequential(a)), **_projector("projection_head.layers.")}
        ),
        "state_dict.backbone.",
        (),
    ),
    "lightly BYOL": (
        lambda a, b: {
            **_under("backbone_momentum.", _sequential(b)),
            **_under("backbone.", _sequential(a)),
        },
        "backbone.",
        ("backbone_momentum.",),
    ),
    "lightly DINO": (
        lambda a, b: {
            **_under("student_backbone.", _sequential(b)),
            **_under("teacher_backbone.", _sequential(a)),
        },
        "teacher_backbone.",
        ("student_backbone.",),
    ),
    "lightly's own ResNet": (lambda a, _b: _lightly_own(a, "backbone."), "backbone.", ()),
    "VISSL": (
        lambda a, _b: {
            "phase_idx": 1,
            "classy_state_dict": {
                "base_model": {
                    "model": {
                        "trunk": _under("_feature_blocks.", a),
                        "heads": _projector("0.clf."),
                    }
                }
            },
        },
        "classy_state_dict.base_model.model.trunk._feature_blocks.",
        (),
    ),
    "MoCo v2": (
        lambda a, b: {
            "epoch": 200,
            "arch": "resnet18",
            "state_dict": {
                "module.queue": torch.zeros(128, 64),
                "module.queue_ptr": torch.zeros(1, dtype=torch.long),
                **_under("module.encoder_k.", b),
                **_projector("module.encoder_k.fc."),
                **_under("module.encoder_q.", a),
                **_projector("module.encoder_q.fc."),
            },
        },
        "state_dict.module.encoder_q.",
        ("state_dict.module.encoder_k.",),
    ),
    "MoCo v3": (
        lambda a, b: {
            "state_dict": {
                **_under("module.momentum_encoder.", b),
                **_under("module.base_encoder.", a),
                **_projector("module.predictor."),
            }
        },
        "state_dict.module.base_encoder.",
        ("state_dict.module.momentum_encoder.",),
    ),
    "DINO": (
        lambda a, b: {
            "student": {**_under("module.backbone.", b), **_projector("module.head.mlp.")},
            "teacher": {**_under("backbone.", a), **_projector("head.mlp.")},
            "dino_loss": {"center": torch.zeros(1, 64)},
        },
        "teacher.backbone.",
        ("student.module.backbone.",),
    ),
    "BYOL": (
        lambda a, b: {**_under("target_encoder.net.", b), **_under("online_encoder.net.", a)},
        "online_encoder.net.",
        ("target_encoder.net.",),
    ),
    "BYOL, network": (
        lambda a, _b: {
            "online_network_state_dict": {
                **_under("encoder.", a),
                **_projector("projetion.net."),
            }
        },
        "online_network_state_dict.encoder.",
        (),
    ),
    "SwAV": (lambda a, _b: {**_under("module.", a), **_projector("module.projection_head.")},
             "module.", ()),
    "Barlow Twins": (
        lambda a, _b: {
            "model": {**_under("module.backbone.", a), **_projector("module.projector.")}
        },
        "model.module.backbone.",
        (),
    ),
    "timm": (
        lambda a, b: {
            "state_dict": _under("", a, head=True),
            "state_dict_ema": _under("", b, head=True),
        },
        "state_dict.",
        ("state_dict_ema.",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("library", FORMATS)
def test_outputs_are_those_of_the_net_that_was_saved(
    library: str, nets: tuple[nn.Module, nn.Module], tmp_path: Path
) -> None:
    a, b = nets
    make, prefix, others = FORMATS[library]
    torch.save(make(a, b), tmp_path / "w.pth")
    encoder = build_encoder("torchvision:resnet18", size=64, stem="standard").eval()
    report = load_weights(encoder, tmp_path / "w.pth")
    assert (report.prefix, report.others, report.unused) == (prefix, others, ())
    assert report.matched == report.wanted == 100  # 20 convolutions, 4 tensors of 20 norms
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = torch.flatten(_sequential(a)(x), 1)
        assert torch.equal(encoder(x), wanted)
        assert not torch.equal(wanted, torch.flatten(_sequential(b)(x), 1))


def test_a_line_says_what_was_taken_and_what_was_not(nets: tuple[nn.Module, nn.Module]) -> None:
    encoder = build_encoder("timm:resnet18", size=64, stem="standard")
    tensors = flatten_tensors(FORMATS["MoCo v2"][0](*nets))
    tensors["state_dict.module.encoder_q.extra"] = torch.zeros(3)
    report = load_tensors(encoder, tensors, "w\n.pth")
    assert str(report) == (
        r"w\n.pth (MoCo): 100 of 100 tensors under 'state_dict.module.encoder_q.'; also complete "
        "under 'state_dict.module.encoder_k.' (choose with key); 1 unused, e.g. extra; "
        "6 others (heads and the like) left out"
    )
    written = report.as_json()
    assert written["summary"] == str(report) == summary_of(written)
    written["told"] = written.pop("summary")  # as older versions wrote it
    assert summary_of(written) == str(report)


def test_key_takes_another_encoder(nets: tuple[nn.Module, nn.Module]) -> None:
    tensors = flatten_tensors(FORMATS["MoCo v2"][0](*nets))
    encoder = build_encoder("timm:resnet18", size=64, stem="standard")
    for key in ("state_dict.module.encoder_k.", "state_dict.module.encoder_k"):
        report = load_tensors(encoder, tensors, "w.pth", key=key)
        assert report.prefix == "state_dict.module.encoder_k."
        assert torch.equal(encoder.body.state_dict()["conv1.weight"], nets[1].conv1.weight)
    with pytest.raises(ValueError, match=r"key 'encoder_x': w.pth is complete under 'state_dict"):
        load_tensors(encoder, tensors, "w.pth", key="encoder_x")


SMALL = "resnet_cifar:20"


@pytest.fixture(scope="module")
def small() -> State:
    with seeded(5):
        return build_encoder(SMALL).body.state_dict()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prefix=st.text(string.ascii_letters + "._012-", max_size=20), wrap=st.booleans())
def test_any_prefix_is_found_and_stripped(prefix: str, wrap: bool, small: State) -> None:
    tensors = {prefix + k: v for k, v in small.items()}
    tensors["zz.other"] = torch.zeros(2)
    encoder = build_encoder(SMALL)
    result = flatten_tensors({"ckpt": {"net": tensors}} if wrap else tensors)
    report = load_tensors(encoder, result, "w.pt")
    assert report.prefix == ("ckpt.net." if wrap else "") + prefix
    assert report.matched == report.wanted
    assert all(torch.equal(v, small[k]) for k, v in encoder.body.state_dict().items())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_is_loaded_in_part(data: st.DataObject, small: State) -> None:
    needed = sorted(k for k in small if not k.endswith("num_batches_tracked"))
    less = data.draw(st.sets(st.sampled_from(needed), min_size=1))
    encoder = build_encoder(SMALL)
    before = {k: v.clone() for k, v in encoder.body.state_dict().items()}
    tensors = {f"net.{k}": v for k, v in small.items() if k not in less}
    with pytest.raises(ValueError, match=f"{len(less)} of {len(needed)} tensors are missing") as e:
        load_tensors(encoder, tensors, "w.pt")
    assert "\n" not in str(e.value)
    assert all(torch.equal(v, before[k]) for k, v in encoder.body.state_dict().items())


def test_counts_of_batches_may_be_absent_and_halves_are_told(small: State) -> None:
    counted = {k: v.half() for k, v in small.items() if not k.endswith("num_batches_tracked")}
    counted["bn1.bias"] = small["bn1.bias"].bfloat16()
    encoder = build_encoder(SMALL)
    report = load_tensors(encoder, counted, "w.pt")
    assert report.notes == ("bfloat16 and float16 converted to float32",)
    result = encoder.body.state_dict()
    assert all(torch.equal(result[k], v.float()) for k, v in counted.items())
    assert {v.dtype for k, v in result.items() if k in counted} == {torch.float32}


def test_shapes_that_differ_are_named(small: State) -> None:
    encoder = build_encoder(SMALL)
    tensors = {f"module.{k}": v for k, v in small.items()}
    tensors["module.conv1.weight"] = torch.zeros(16, 3, 7, 7)
    with pytest.raises(ValueError, match="differ") as error:
        load_tensors(encoder, tensors, "w.pt")
    assert str(error.value) == (
        "w.pt does not fit encoder resnet_cifar:20 (small stem): 94 of 95 tensors fit under the "
        "best prefix 'module.'; 1 differ, first conv1.weight is [16, 3, 7, 7] in the file and "
        "[16, 3, 3, 3] in the encoder; stem standard is that of the file"
    )
    tensors["module.conv1.weight"] = torch.zeros(16, 3, 3, 3, dtype=torch.int8)
    with pytest.raises(ValueError, match=r"conv1.weight is int8 \[16, 3, 3, 3\] in the file"):
        load_tensors(encoder, tensors, "w.pt")


def test_a_deeper_net_of_the_same_names_is_another_net(small: State) -> None:
    deep = build_encoder("resnet_cifar:32").body.state_dict()
    with pytest.raises(ValueError, match=r"more in the same layers, first 'layer1\.3\.c"):
        load_tensors(build_encoder(SMALL), deep, "w.pt")
    assert load_tensors(build_encoder(SMALL), small, "w.pt").unused == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no tensors"),
        ({"a": {"b": [1, 2]}}, "holds no tensors"),
        ([torch.zeros(3)], "expected a dict of tensors, got list"),
        (torch.zeros(3), "expected a dict of tensors, got Tensor"),
        ({"x": torch.zeros(3)}, "the file has 1, first 'x'"),
        (_lightning({"a": torch.zeros(2)}) | {"hyper_parameters": argparse.Namespace(lr=1)},
         r"more than tensors \(argparse.Namespace\) and would run code on loading; where you trust "
         "it, save its state_dict as .safetensors"),
        ({"model": nn.Linear(2, 2)}, r"torch.nn.modules.linear.Linear\) and would run code"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_hold_no_weights_are_refused(
    content: Any, message: str, zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "w.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=message) as error:
        load_weights(build_encoder(SMALL), path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def _bomb(path: Path, small: State) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("w/data/0", bytes(50_000_000))


def _cut(path: Path, small: State) -> None:
    torch.save(small, path)
    path.write_bytes(path.read_bytes()[:100_000])


BROKEN: dict[str, Callable[[Path, State], Any]] = {
    "text": lambda path, _s: path.write_text("conv1.weight 1 2 3\n"),
    "empty": lambda path, _s: path.write_bytes(b""),
    "cut": _cut,
    "bomb": _bomb,
    "folder": lambda path, _s: path.mkdir(),
    "pickle": lambda path, _s: path.write_bytes(pickle.dumps({"a": 1}, protocol=2)),
}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kind", BROKEN)
def test_files_that_cannot_be_read_are_one_line(
    kind: str, suffix: str, small: State, tmp_path: Path
) -> None:
    path = tmp_path / f"w.{suffix}"
    BROKEN[kind](path, small)
    with pytest.raises(ValueError, match=r"w\.(pth|safetensors)") as error:
        load_weights(build_encoder(SMALL), path)
    assert "\n" not in str(error.value)
    if (kind, suffix) == ("bomb", "pth"):
        assert "unpack to 50,000" in str(error.value)


def test_dicts_may_hold_themselves_and_others_than_dicts_are_left(small: State) -> None:
    inner: dict[str, Any] = {"net": small, "list": [torch.zeros(2)], 3: {"x": torch.ones(1)}}
    inner["self"] = inner
    inner["sparse"] = torch.zeros(3).to_sparse()
    result = flatten_tensors({"a": inner})
    assert len(result) == len(small) + 1
    assert torch.equal(result["a.3.x"], torch.ones(1))
    assert torch.equal(result["a.net.conv1.weight"], small["conv1.weight"])


def test_weights_are_read_unwrapped(small: State, tmp_path: Path) -> None:
    torch.save({"state_dict": small, "epoch": 3}, tmp_path / "w.pt")
    assert list(read_weights(tmp_path / "w.pt")) == list(small)
    save_file(small, tmp_path / "w.safetensors")
    assert set(read_weights(tmp_path / "w.safetensors")) == set(small)
