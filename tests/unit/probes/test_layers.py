"""Probes beside a training: right where the answer is known, exact over a restart, silent else."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch

from jessl.probes.layers import LayerProbes

WIDTHS = {"backbone": 12, "projector.1": 20, "projector": 6}


def _features(n: int = 64, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {k: 5 + 3 * torch.randn(n, d, generator=g) for k, d in WIDTHS.items()}


def _labels(n: int = 64, classes: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))


def _trained(steps: int, seed: int = 0) -> LayerProbes:
    probes = LayerProbes(WIDTHS, 7, lr=1e-2, seed=seed)
    for step in range(steps):
        probes.observe(_features(seed=step), _labels(seed=step))
    return probes


def _same(a: LayerProbes, b: LayerProbes) -> bool:
    states = a.state_dict(), b.state_dict()
    optimizers = [p.optimizer_state()["state"] for p in (a, b)]
    return (
        states[0].keys() == states[1].keys()
        and all(torch.equal(v, states[1][k]) for k, v in states[0].items())
        and optimizers[0].keys() == optimizers[1].keys()
        and all(
            torch.equal(v, optimizers[1][p][k])
            for p, held in optimizers[0].items()
            for k, v in held.items()
        )
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_separable_features_are_told_apart_and_noise_is_not(scale: float) -> None:
    classes, n = 10, 200
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, 32, generator=g)
    probes = LayerProbes({"good.1": 32, "noise": 32}, classes, lr=1e-2, seed=0)

    def batch() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        y = torch.randint(0, classes, (n,), generator=g)
        x = scale * (7 + centres[y] + 0.1 * torch.randn(n, 32, generator=g))
        return {"good.1": x, "noise": torch.randn(n, 32, generator=g)}, y

    for _ in range(150):
        probes.observe(*batch())
    x, y = batch()
    big = {k: v.repeat(10, 1) for k, v in x.items()} | {
        "noise": torch.randn(10 * n, 32, generator=g)
    }
    told = probes.accuracy(big, y.repeat(10))
    assert told["good.1"] == {"top1": 1.0, "top5": 1.0}
    # 2,000 rows: five standard deviations of a share of .1 are .034, of .5 .056
    assert abs(told["noise"]["top1"] - 0.1) < 0.034
    assert abs(told["noise"]["top5"] - 0.5) < 0.056


def _by_hand(classes: int) -> LayerProbes:
    """A probe whose logits are its features, but for the norm's epsilon."""
    probes = LayerProbes({"z": classes}, classes, seed=0)
    (linear,) = probes.classifiers
    with torch.no_grad():
        linear.weight.copy_(torch.eye(classes))
        linear.bias.zero_()
    return probes


def test_top5_counts_labels_among_the_five_likeliest() -> None:
    probes = _by_hand(7)
    logits = torch.tensor([[7.0, 6, 5, 4, 3, 2, 1]]).repeat(8, 1)
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 6, -1])
    assert probes.accuracy({"z": logits}, labels) == {"z": {"top1": 1 / 7, "top5": 5 / 7}}
    # arrays are taken as well
    told = probes.accuracy({"z": logits.numpy()[4:6]}, np.array([4, 5]))
    assert told == {"z": {"top1": 0.0, "top5": 0.5}}


def test_five_classes_have_no_top5() -> None:
    logits = torch.eye(5)
    assert _by_hand(5).accuracy({"z": logits}, torch.arange(5)) == {"z": {"top1": 1.0}}
    # a class that was not there to learn is never right
    assert _by_hand(5).accuracy({"z": logits}, torch.arange(1, 6)) == {"z": {"top1": 0.0}}


def test_accuracy_scales_each_layer_as_the_norm_does_in_evaluation() -> None:
    probes = _trained(30).eval()
    x, y = _features(300, seed=99), _labels(300, seed=99)
    z = probes.norm(torch.cat([x[k] for k in WIDTHS], dim=1)).split(list(WIDTHS.values()), dim=1)
    told = probes.accuracy(x, y)
    assert list(told) == list(WIDTHS)
    for k, part, linear in zip(WIDTHS, z, probes.classifiers, strict=True):
        assert told[k]["top1"] == (linear(part).argmax(dim=1) == y).double().mean().item()
        assert probes.accuracy({k: x[k]}, y) == {k: told[k]}


def test_a_step_is_that_of_adamw_on_the_mean_loss() -> None:
    probes = LayerProbes(WIDTHS, 7, lr=1e-2, seed=0)
    x, y = _features(), _labels()
    weights = [torch.nn.Parameter(c.weight.detach().clone()) for c in probes.classifiers]
    biases = [torch.nn.Parameter(c.bias.detach().clone()) for c in probes.classifiers]
    plain = torch.optim.AdamW(
        [{"params": weights}, {"params": biases, "weight_decay": 0.0}], lr=1e-2
    )
    for _ in range(3):
        probes.observe(x, y)
        plain.zero_grad()
        for layer, weight, bias in zip(WIDTHS, weights, biases, strict=True):
            z = torch.nn.functional.batch_norm(x[layer], None, None, training=True)
            torch.nn.functional.cross_entropy(z @ weight.T + bias, y).backward()
        plain.step()
    for linear, weight, bias in zip(probes.classifiers, weights, biases, strict=True):
        torch.testing.assert_close(linear.weight, weight, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(linear.bias, bias, rtol=1e-4, atol=1e-6)


def test_nothing_flows_back_and_the_callers_modes_do_not_matter() -> None:
    one, two, three = (LayerProbes(WIDTHS, 7, seed=0) for _ in range(3))
    x = {k: v.requires_grad_() for k, v in _features().items()}
    one.observe(x, _labels())
    assert all(v.grad is None for v in x.values())
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        two.eval().observe(_features(), _labels())
    assert _same(one, two)
    half = {k: v.bfloat16() for k, v in _features().items()}
    three.observe(half, _labels())
    assert all(p.dtype == torch.float32 for p in three.parameters())
    assert not _same(one, three)


def test_missing_labels_count_in_the_scale_alone() -> None:
    x, y = _features(), _labels()
    y[::3] = -1
    one, two = LayerProbes(WIDTHS, 7, seed=0), LayerProbes(WIDTHS, 7, seed=0)
    one.observe(x, y)
    # other labels under the missing ones: a loss of the labelled rows by hand
    z = one.norm(torch.cat([x[k] for k in WIDTHS], dim=1)).split(list(WIDTHS.values()), dim=1)
    for before, after, part in zip(two.classifiers, one.classifiers, z, strict=True):
        kept = y >= 0
        torch.nn.functional.cross_entropy(before(part[kept]), y[kept]).backward()
        torch.testing.assert_close(after.weight.grad, before.weight.grad)
        torch.testing.assert_close(after.bias.grad, before.bias.grad)


def test_without_a_label_nothing_changes() -> None:
    probes, before = _trained(3), _trained(3)
    probes.observe(_features(seed=9), torch.full((64,), -1))
    assert _same(probes, before)


def test_a_resumed_training_is_exact() -> None:
    whole = _trained(8)
    first = _trained(4)
    held = io.BytesIO()
    torch.save({"tensors": first.state_dict(), "optimizer": first.optimizer_state()}, held)
    held.seek(0)
    state = torch.load(held, weights_only=True)
    second = LayerProbes(WIDTHS, 7, lr=1e-2, seed=5)
    second.load_state_dict(state["tensors"])
    second.load_optimizer_state(state["optimizer"])
    for step in range(4, 8):
        second.observe(_features(seed=step), _labels(seed=step))
    assert _same(whole, second)
    assert all(type(v) is torch.Tensor for v in whole.state_dict().values())


def test_the_first_weights_come_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    a, b, c, d = (_trained(1, seed) for seed in (0, 0, 1, 5 - 2**70))
    assert torch.equal(before, torch.get_rng_state())
    assert _same(a, b)
    assert not _same(a, c)
    assert not _same(a, d)


def test_a_copy_learns_alone() -> None:
    probes = _trained(2)
    twin = copy.deepcopy(probes)
    twin.observe(_features(seed=2), _labels(seed=2))
    assert _same(probes, _trained(2))
    assert _same(twin, _trained(3))


def test_moments_move_with_the_weights() -> None:
    probes = _trained(2).to(torch.float64)
    for held in probes.optimizer_state()["state"].values():
        assert held["exp_avg"].dtype == torch.float64
        assert held["step"].dtype == torch.float32
    probes.to(torch.float32).observe(_features(seed=2), _labels(seed=2))
    assert _same(probes, _trained(3))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"widths": {}}, "widths: expected at least one layer"),
        ({"widths": {"a.b": 0}}, "of layer a.b: expected a whole number of at least 1, got 0"),
        ({"classes": 1}, "classes: expected a whole number of at least 2, got 1"),
        ({"lr": 0.0}, "lr: expected a finite number above 0, got 0.0"),
        ({"lr": float("nan")}, "lr: expected a finite number above 0, got nan"),
        ({"seed": 0.5}, "seed: expected a whole number"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, Any], said: str) -> None:
    options: dict[str, Any] = {"widths": WIDTHS, "classes": 7, "lr": 1e-3, "seed": 0} | changes
    with pytest.raises(ValueError, match=said):
        LayerProbes(options.pop("widths"), options.pop("classes"), **options)


def test_what_does_not_fit_is_refused_before_anything_changes() -> None:
    probes = _trained(1)
    x, y = _features(), _labels()
    wrong: list[tuple[dict[str, torch.Tensor], torch.Tensor, str]] = [
        ({"backbone": x["backbone"]}, y, "expected layers .*, got .'backbone'."),
        (x | {"more": x["backbone"]}, y, "expected layers"),
        (x | {"projector": x["projector"][:, :5]}, y, r"of projector: expected \[64, 6\]"),
        (x, y[:9], r"of backbone: expected \[9, 12\] .* got \[64, 12\]"),
        (x, y + 1, r"labels: expected -1 \(missing\) to 6, got 1 to 7"),
        (x, y - 2, r"labels: expected -1 \(missing\) to 6, got -2 to 4"),
    ]
    for features, labels, said in wrong:
        with pytest.raises(ValueError, match=said):
            probes.observe(features, labels)
    assert _same(probes, _trained(1))
    for features, labels, said in [
        ({"other": x["backbone"]}, y, "expected layers .*, got 'other'"),
        ({"projector": x["backbone"]}, y, r"of projector: expected \[64, 6\]"),
        (x, torch.full((64,), -1), "expected at least one label, got none in 64 rows"),
    ]:
        with pytest.raises(ValueError, match=said):
            probes.accuracy(features, labels)
