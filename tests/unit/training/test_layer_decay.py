"""Layer-wise learning rates: known groups, and the bits of before where they are off or 1."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from helpers.training_samples import OPTIONS, batch
from jessl.encoders import build_encoder
from jessl.objectives import build_objective
from jessl.training.optimizers import build_optimizer, learning_rate, set_learning_rate
from jessl.training.step import Trainer


def _modules() -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    encoder = build_encoder("smallconv:4", size=16)
    return encoder, build_objective("supervised", encoder.dim, OPTIONS["supervised"])


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_each_block_has_its_rate(name: str) -> None:
    encoder, objective = _modules()
    optimizer = build_optimizer(
        name, [encoder, objective], lr=0.8, weight_decay=0.01, layer_decay=0.5
    )
    set_learning_rate(optimizer, 0.4)
    by_id = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    # convolutions 0 to 3 of smallconv, 4 blocks in all, then the classifier
    expected = {"0": 0.025, "3": 0.05, "6": 0.1, "9": 0.2}
    for key, p in encoder.named_parameters():
        layer = key.split(".")[2]
        conv = layer if layer in expected else str(int(layer) - 1)
        assert by_id[id(p)]["lr"] == pytest.approx(expected[conv])
        assert by_id[id(p)]["weight_decay"] == (0.01 if p.ndim > 1 else 0.0)
    for p in objective.parameters():
        assert by_id[id(p)]["lr"] == 0.4
    assert len(optimizer.param_groups) == 2 * 5
    assert learning_rate(optimizer) == 0.4
    if name == "lars":
        assert all(g["adapt"] is (g["weight_decay"] > 0) for g in optimizer.param_groups)


def _trained(layer_decay: float | None, name: str) -> dict[str, torch.Tensor]:
    encoder, objective = _modules()
    trainer = Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=build_optimizer(
            name, [encoder, objective], lr=0.1, weight_decay=0.1, layer_decay=layer_decay
        ),
        lr=0.1,
        total_steps=4,
        warmup_steps=1,
        steps_per_epoch=2,
        ema_start=0.9,
        precision=None,
        device=torch.device("cpu"),
    )
    trainer.set_training()
    for _ in range(3):
        trainer.take_step(*batch())
    return {**encoder.state_dict(), **objective.state_dict()}


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_a_decay_of_one_changes_no_bit(name: str) -> None:
    off, one, half = (_trained(decay, name) for decay in (None, 1.0, 0.5))
    assert all(torch.equal(off[k], one[k]) for k in off)
    assert not all(torch.equal(off[k], half[k]) for k in off)
