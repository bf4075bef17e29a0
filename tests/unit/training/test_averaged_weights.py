"""The moving average of the weights: its rule, and what a trainer does with it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from helpers.training_samples import batch, trainer
from jessl.training.ema import AveragedWeights


def test_it_is_the_recursion_of_its_definition() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()
    averaged = AveragedWeights({"net": net}, 0.5)
    expected = copy.deepcopy(net.state_dict())
    for step in range(30):
        with torch.no_grad():
            for value in net.state_dict().values():
                value.add_(step + 1)
        averaged.update(step)
        momentum = min(0.5, (1 + step) / (10 + step))
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                expected[key] = momentum * expected[key] + (1 - momentum) * value
            else:
                expected[key] = value
    for key, value in averaged.modules["net"].state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=0)
    assert not averaged.modules["net"].training
    assert not any(p.requires_grad for p in averaged.modules["net"].parameters())


@pytest.mark.parametrize("method", ["supervised", "byol"])
def test_the_training_itself_is_the_same(method: str) -> None:
    plain, with_average = trainer(method, "cpu"), trainer(method, "cpu", average_momentum=0.9)
    for each in (plain, with_average):
        each.set_training()
        for _ in range(3):
            torch.manual_seed(0)
            each.take_step(*batch())
    for name in ("encoder", "objective"):
        one, two = (getattr(t, name).state_dict() for t in (plain, with_average))
        assert all(torch.equal(one[k], two[k]) for k in one)
    held = with_average.modules()
    assert held["encoder"] is not with_average.encoder
    # the average lies between the start and the end
    last = with_average.encoder.state_dict()
    moved = [
        not torch.equal(v, last[k]) for k, v in held["encoder"].state_dict().items() if v.ndim > 1
    ]
    assert all(moved)
    assert not held["encoder"].training
    assert with_average.encoder.training


def test_the_state_brings_both_back() -> None:
    one = trainer("supervised", "cpu", average_momentum=0.9)
    one.set_training()
    for _ in range(2):
        one.take_step(*batch())
    state = copy.deepcopy(one.state())
    tensors = {k: copy.deepcopy(m.state_dict()) for k, m in one.modules().items()}
    two = trainer("supervised", "cpu", average_momentum=0.9)
    for name, module in two.modules().items():
        module.load_state_dict(tensors[name])
    two.load_state(one.step, state)
    for each in (one, two):
        each.set_training()
        each.take_step(*batch())
    for name, module in one.modules().items():
        other = two.modules()[name].state_dict()
        assert all(torch.equal(v, other[k]) for k, v in module.state_dict().items())
    other = two.encoder.state_dict()
    assert all(torch.equal(v, other[k]) for k, v in one.encoder.state_dict().items())
