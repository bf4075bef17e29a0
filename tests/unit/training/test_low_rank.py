"""Low-rank updates (LoRA): what is trained, what is kept, and a resumed run."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.run_samples import (
    labelled_images,
    losses,
    same_weights,
    small_config,
    stop_and_resume,
    weights,
)
from jessl import pretrain
from jessl.encoders import Encoder, build_encoder
from jessl.encoders.encoder import Preprocess
from jessl.training.low_rank import LowRankUpdates

pytest.importorskip("peft", reason="needs the package peft")

VIT = "timm:test_vit"


def _perceptron() -> Encoder:
    body = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))
    form = Preprocess(2, (0.5,) * 3, (0.5,) * 3)
    return Encoder(body, dim=3, preprocess=form, name="perceptron", stem="standard")


def test_the_updates_alone_are_trained_and_the_sum_is_the_plain_encoder() -> None:
    encoder = _perceptron()
    start = copy.deepcopy(encoder)
    x = torch.rand(4, 3, 2, 2)
    updates = LowRankUpdates(encoder, rank=2, seed=0)
    torch.testing.assert_close(encoder(x), start(x))  # B begins at 0
    torch.testing.assert_close(updates.plain()(x), start(x))

    trained = {k: p for k, p in encoder.named_parameters() if p.requires_grad}
    assert {tuple(p.shape) for p in trained.values()} == {(2, 12), (5, 2), (2, 5), (3, 2)}
    optimizer = torch.optim.SGD(trained.values(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        encoder(x).square().sum().backward()
        optimizer.step()
    plain = updates.plain()
    torch.testing.assert_close(plain(x), encoder(x))
    assert list(plain.state_dict()) == list(start.state_dict())
    change = plain.body[1].weight - start.body[1].weight
    assert 0 < torch.linalg.matrix_rank(change) <= 2
    torch.testing.assert_close(plain.body[1].bias, start.body[1].bias)

    # what a resumed run does: another encoder, updates of another seed
    other = _perceptron()
    again = LowRankUpdates(other, rank=2, seed=1)
    again.load_trained_weights(updates.trained_weights())
    torch.testing.assert_close(again.plain()(x), plain(x))


def test_an_encoder_without_linear_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="linear layers, such as a vision transformer; smallconv"):
        LowRankUpdates(build_encoder("smallconv:4", size=8), rank=2, seed=0)


def test_a_vision_transformer_is_trained_kept_and_resumed(tmp_path: Path) -> None:
    labelled_images(tmp_path)
    data = tmp_path / "images.npz"
    fields = {
        "encoder": VIT, "size": 16, "epochs": 2, "evaluate_epochs": 1, "checkpoint_epochs": 1,
        "batch_size": 6, "holdout": 6, "online_probes": False, "lr": 0.01, "objective": "simclr",
    }  # fmt: skip
    first = pretrain(small_config(data, tmp_path / "start", **fields | {"epochs": 1}), quiet=True)
    fields |= {"init": str(first.path), "lora": 2}
    whole = pretrain(small_config(data, tmp_path / "whole", **fields), quiet=True)
    before, after = weights(first), weights(whole)
    names = [k for k in before if k.startswith("encoder.")]
    assert [k for k in after if k.startswith("encoder.")] == names
    changed = {k for k in names if not torch.equal(before[k], after[k])}
    assert changed == {
        k for k in names if "blocks" in k and k.endswith("weight") and "norm" not in k
    }

    half = stop_and_resume(data, tmp_path / "half", **fields)
    assert losses(whole) == losses(half)
    same_weights(whole, half)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": 2}, "lora: expected init"),
        ({"lora": 0, "init": "start"}, "lora: expected at least 1"),
        ({"lora": 2, "init": "start", "anchor": 1.0}, "lora: expected no anchor beside it"),
        ({"lora": 2, "init": "start", "ema_weights": 0.9}, "expected no ema_weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pretrain(small_config("digits", tmp_path / "run", **changes), quiet=True)
