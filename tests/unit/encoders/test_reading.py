"""Weights of files: what is missing or broken is told, and files of others take no time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.random import seeded
from jessl.encoders import build_encoder, load_weights
from jessl.encoders.checkpoints.load_weights import load_tensors
from jessl.encoders.checkpoints.matching import find_matches
from jessl.encoders.checkpoints.open_checkpoint import CheckpointFile, open_checkpoint

SMALL = "smallconv:4"


def _built(seed: int, dim: int | None = None) -> torch.nn.Module:
    with seeded(seed):
        return build_encoder(SMALL, size=8, dim=dim)


def test_a_block_that_stays_random_is_told_by_the_report(tmp_path: Path) -> None:
    torch.save(_built(1).body.state_dict(), tmp_path / "w.pt")
    target = build_encoder(SMALL, size=8, dim=50)
    report = load_weights(target, tmp_path / "w.pt")  # nobody listens to `tell`
    own = [k for k in target.state_dict() if not k.endswith("num_batches_tracked")]
    block = [k for k in own if k.startswith("expansion.")]
    assert (report.matched, report.wanted) == (20, len(own)) == (20, 20 + len(block))
    message = (
        f"{len(block)} tensors of the expansion to 50 features are not in the file and stay random"
    )
    assert report.notes == (message,)
    assert f"20 of {len(own)} tensors" in str(report)
    whole = load_tensors(target, _built(2, 50).state_dict(), "run.pt")
    assert whole.matched == whole.wanted == len(own)
    assert whole.notes == ()


def test_numbers_that_are_not_finite_are_loaded_and_told() -> None:
    tensors = {k: v.clone() for k, v in _built(1).body.state_dict().items()}
    names = [k for k, v in tensors.items() if v.is_floating_point() and v.numel() > 1][:4]
    tensors["queue"] = torch.full((3,), torch.nan)  # not taken
    target = build_encoder(SMALL, size=8)
    assert load_tensors(target, tensors, "w.pt").notes == ()
    for name, value in zip(names, (torch.nan, torch.inf, -torch.inf), strict=False):
        tensors[name].view(-1)[1] = value
    # what float32 cannot hold
    tensors[names[3]] = torch.full(tensors[names[3]].shape, 1e300, dtype=torch.float64)
    report = load_tensors(target, tensors, "w.pt")
    assert report.notes[1:] == (
        f"4 tensors hold NaN or infinite numbers: {', '.join(names[:3])} and 1 more",
    )
    assert torch.isnan(target.body.state_dict()[names[0]].view(-1)[1])


def test_thousands_of_prefixes_take_no_time() -> None:
    wanted = build_encoder("torchvision:resnet18", stem="standard").body.state_dict()
    own = {f"net.{k}": v for k, v in wanted.items()}
    for name in ("m{}.bn1.weight", "{}.bn1.weight"):
        foreign = {name.format(f"{i:05d}"): torch.zeros(64) for i in range(20_000)}
        start = time.perf_counter()
        (result,) = find_matches({**foreign, **own}, wanted)
        # every prefix against every name takes a minute
        assert time.perf_counter() - start < 10
        assert (result.prefix, result.complete, result.surplus) == ("net.", True, ())
        (result,) = find_matches(foreign, wanted)
        assert (result.fitting, result.complete) == (1, False)


def test_digits_without_end_are_no_number() -> None:
    wanted = {"a.weight": torch.zeros(2)}
    (result,) = find_matches({f"{'9' * 5000}.weight": torch.zeros(2)}, wanted)
    assert not result.complete
    assert result.fitting == 0


def test_children_by_number_are_ordered_as_numbers() -> None:
    net = nn.Sequential()
    for k in range(12):
        net.add_module(f"part{k}", nn.Linear(2, 2))
    numbered = nn.Sequential(*net.children()).state_dict()
    (result,) = find_matches({f"backbone.{k}": v for k, v in numbered.items()}, net.state_dict())
    assert (result.prefix, result.complete) == ("backbone.", True)
    assert result.names == {
        f"part{k}.{what}": f"backbone.{k}.{what}" for k in range(12) for what in ("weight", "bias")
    }


@pytest.mark.parametrize("arch", [None, "timm:vit_tiny_patch16_224"])
def test_a_vit_without_a_name_is_normalised_as_imagenet(arch: str | None, tmp_path: Path) -> None:
    body = build_encoder("timm:vit_tiny_patch16_224", size=32).body
    torch.save(body.state_dict(), tmp_path / "w.pth")
    encoder, _ = open_checkpoint(CheckpointFile(tmp_path / "w.pth", arch), size=32)
    half = (0.5, 0.5, 0.5)  # timm's own
    wanted = (IMAGENET_MEAN, IMAGENET_STD) if arch is None else (half, half)
    assert (encoder.preprocess.mean, encoder.preprocess.std) == wanted
